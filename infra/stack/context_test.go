package stack

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/config"
)

var update = flag.Bool("update", false, "rewrite the README's table of context keys")

const secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nightshift/portal-AbCdEf"

const endpoint = `[{"endpoint":"sagemaker/123456789012/us-east-1"}]`

func TestReadDefaults(t *testing.T) {
	s, err := Read(map[string]any{"@aws-cdk/core:checkSecretUsage": true, "aws:cdk:version-reporting": false})
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "nightshift" || s.Retention != 90 || s.IdentityStore != SampleIdentityStore || s.EndpointsJSON != "[]" || s.Tracing || s.CustomerKey || s.FunctionsDir != "../.build/functions" {
		t.Errorf("%+v", s)
	}
}

// The command line gives texts where cdk.json may have lists and truths; both
// mean the same.
func TestReadTextsAndValues(t *testing.T) {
	values := map[string]any{
		"retentionDays": 30.0, "customerKey": true, "tracing": false, "deploying": true, "identityStoreId": "d-9067a1b2c3",
		"jobRoles": []any{"arn:aws:iam::123456789012:role/a/b"}, "portalPrincipals": []any{"arn:aws:iam::123456789012:user/portal"},
		"endpoints":   []any{map[string]any{"endpoint": "livy/j-1", "url": "https://h:8998"}, map[string]any{"endpoint": "sagemaker/123456789012/us-east-1"}},
		"livySubnets": []any{"subnet-0a1b2c3d"}, "livySecurityGroups": []any{"sg-0a1b2c3d"},
		"factsAge": "10m", "sessionsUrl": "https://portal.example.com/sessions", "sessionsTokenSecret": secret,
	}
	texts := map[string]any{
		"retentionDays": "30", "customerKey": "true", "tracing": "false", "deploying": "true", "identityStoreId": "d-9067a1b2c3",
		"jobRoles": `["arn:aws:iam::123456789012:role/a/b"]`, "portalPrincipals": `["arn:aws:iam::123456789012:user/portal"]`,
		"endpoints":   `[{"endpoint":"livy/j-1","url":"https://h:8998"},{"endpoint":"sagemaker/123456789012/us-east-1"}]`,
		"livySubnets": `["subnet-0a1b2c3d"]`, "livySecurityGroups": `["sg-0a1b2c3d"]`,
		"factsAge": " 10m", "sessionsUrl": "https://portal.example.com/sessions ", "sessionsTokenSecret": secret,
	}
	a, err := Read(values)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Read(texts)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || a.Retention != 30 || !a.CustomerKey || len(a.Endpoints) != 2 {
		t.Errorf("values %+v\ntexts  %+v", a, b)
	}
	chosen := map[string]string{config.FactsAge: "10m", config.SessionsURL: "https://portal.example.com/sessions", config.SessionsTokenSecret: secret}
	if !maps.Equal(a.Chosen, chosen) {
		t.Errorf("the functions are given %v, want %v", a.Chosen, chosen)
	}
}

// Every value that is wrong is answered with a sentence that names the key and
// what is allowed there.
func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"stackName", "1st", `stackName is "1st"; it must be 1 to 30 letters, digits and hyphens, beginning with a letter.`},
		{"identityStoreId", "store", `identityStoreId is "store"; it must be the id of an identity store`},
		{"identityRegion", "Ireland", `identityRegion is "Ireland"; it must be a region`},
		{"identityAccount", "1111", `identityAccount is "1111"; it must be an account id of 12 digits.`},
		{"endpoints", "livy", `endpoints cannot be read`},
		{"endpoints", `[{"endpoint":"glue/1/x"}]`, `endpoints[0].endpoint is "glue/1/x"; it must be livy/<cluster>, or emr-containers`},
		{"endpoints", `[{"endpoint":"livy/j-1","url":"https://h:8998"}]`, `livySubnets is not given, and an endpoint is Livy's`},
		{"endpoints", `[{"endpoint":"sagemaker/123456789012/us-east-1","releaseLabel":"emr-7.11.0"}` + strings.Repeat(` ,{"endpoint":"sagemaker/123456789012/eu-west-1"}`, 80) + `]`, `endpoints has 81 endpoints; at most 64 are allowed.`},
		{"jobRoles", `["*"]`, `jobRoles has "*"; it must be a JSON list of ARNs of IAM roles.`},
		{"jobRoles", `["arn:aws:iam::123456789012:role/*"]`, `jobRoles has "arn:aws:iam::123456789012:role/*"`},
		{"jobRoles", `["arn:aws:iam::123456789012:role/a","arn:aws:iam::123456789012:role/a"]`, `twice`},
		{"portalPrincipals", "portal", `portalPrincipals is "portal"; it must be a JSON list of ARNs of IAM roles or users.`},
		{"livySubnets", `["subnet-0a1b2c3d"]`, `livySecurityGroups is not given`},
		{"livySecurityGroups", `["sg-x"]`, `livySecurityGroups has "sg-x"`},
		{"alarmEmail", "night", `alarmEmail is "night"; it must be an e-mail address.`},
		{"noticeEmail", "night", `noticeEmail is "night"; it must be an e-mail address.`},
		{"retentionDays", 8.0, `retentionDays is "8"; it must be 7, 14, 30`},
		{"factsAge", "60", `factsAge is "60"; it must be a duration from 1m to 1h.`},
		{"sessionsUrl", "http://portal.example.com", `sessionsUrl is not usable; it must be the address of an HTTPS endpoint`},
		{"sessionsTokenSecret", "abc-123==", `sessionsTokenSecret is not usable; it must be the ARN of a secret`},
		{"sessionsTokenSecret", "arn:aws:secretsmanager:us-east-1:123456789012:secret:portal-AbCdEf", `sessionsUrl is not given, and sessionsTokenSecret is`},
		{"logLevel", "loud", `logLevel is "loud"; it must be debug, info, warn or error.`},
		{"customerKey", "yes", `customerKey is "yes"; it must be true or false.`},
		{"tracing", 1.0, `tracing is "1"; it must be true or false.`},
		{"deploying", true, `identityStoreId is not given; it must be`},
		{"portalPrincipal", "[]", `portalPrincipal is no context key of Nightshift; the keys are `},
	} {
		_, err := Read(map[string]any{c.key: c.value})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %.80v: got %v, want it to say %s", c.key, c.value, err, c.want)
			continue
		}
		for line := range strings.Lines(err.Error()) {
			if line = strings.TrimSpace(line); !strings.HasSuffix(line, ".") || strings.Contains(line, "NIGHTSHIFT_") {
				t.Errorf("%s: not a sentence about a key: %s", c.key, line)
			}
		}
	}
	long := `[{"endpoint":"emr-containers/123456789012/us-east-1","virtualClusters":["` + strings.Repeat("a", 64) + strings.Repeat(`","`+strings.Repeat("b", 64), 60) + `"]}]`
	if _, err := Read(map[string]any{"endpoints": long}); err == nil || !strings.Contains(err.Error(), "at most 3072 are allowed") {
		t.Errorf("a list that does not fit in Lambda's variables: %v", err)
	}
}

// Faults come all at once.
func TestReadCollects(t *testing.T) {
	_, err := Read(map[string]any{"stackName": "1", "retentionDays": "x", "tracing": "x", "endpoints": "x", "unheard": "x"})
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("want 5 sentences, got %v", err)
	}
	if _, err := Read(map[string]any{"deploying": true, "identityStoreId": "d-9067a1b2c3", "endpoints": endpoint}); err != nil {
		t.Error(err)
	}
}

// Every function does something, and has the permission that its environment is
// for: who is told the bus may speak, who is told a machine may start it.
func TestDoesFollowsTheEnvironment(t *testing.T) {
	for _, f := range config.Functions() {
		if len(does[f]) == 0 {
			t.Errorf("nobody says what %s does", f)
		}
		for variable, c := range map[string]capability{
			config.Bus: announce, config.WatchMachine: watch, config.DrainMachine: drain,
			config.FactsAge: facts, config.SessionsURL: portal, config.SessionsTokenSecret: portal,
		} {
			if told, may := slices.Contains(append(config.For(f), config.Optional(f)...), variable), slices.Contains(does[f], c); told != may {
				t.Errorf("%s is told %s: %t; it may %s: %t", f, variable, told, c, may)
			}
		}
		if slices.Contains(does[f], user) && !slices.Contains(config.For(f), config.IdentityStoreID) {
			t.Errorf("%s looks up users and is told no identity store", f)
		}
		for _, c := range []capability{look, describe, start, stop, facts} {
			if slices.Contains(does[f], c) && !slices.Contains(config.For(f), config.Endpoints) {
				t.Errorf("%s may %s and is told no endpoints", f, c)
			}
		}
	}
	for f := range does {
		if config.For(f) == nil {
			t.Errorf("%s is no function", f)
		}
	}
}

// The README's table is Keys.
func TestReadmeKeys(t *testing.T) {
	const path = "../README.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)<!-- context keys -->.*?<!-- end -->`)
	if !block.Match(old) {
		t.Fatal("README.md has no place for the context keys")
	}
	var b strings.Builder
	b.WriteString("<!-- context keys -->\n| key | default | allowed | what |\n|---|---|---|---|\n")
	for _, k := range Keys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Default, k.Allowed, k.What)
	}
	b.WriteString("<!-- end -->")
	text := block.ReplaceAllLiteralString(string(old), b.String())
	switch {
	case text == string(old):
	case *update:
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatal("README.md shows other keys than these: go test ./infra/stack -run TestReadmeKeys -update")
	}
}

// What is chosen of networks and clusters fits together, or is refused with the
// key that is missing (S6.1, S7.1).
func TestReadNetworksAndClusters(t *testing.T) {
	try := map[string]any{"clusterCertificates": "s3://setup/certs.zip", "clusterTry": "true", "clusterSubnet": "subnet-0a1b2c3d", "clusterLogs": "s3://logs/emr/"}
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(try)
		maps.Copy(all, more)
		return all
	}
	for _, c := range []struct {
		given map[string]any
		want  string // "" is taken
	}{
		{map[string]any{"vpc": true}, ""},
		{map[string]any{"vpc": true, "vpcCidr": "192.168.0.0/24", "vpcZones": 3.0}, ""},
		{map[string]any{"vpc": true, "vpcCidr": "10.64.0.1/16"}, `vpcCidr is "10.64.0.1/16"; it must be a private IPv4 network`},
		{map[string]any{"vpc": true, "vpcCidr": "8.8.0.0/16"}, `vpcCidr is "8.8.0.0/16"`},
		{map[string]any{"vpc": true, "vpcCidr": "10.0.0.0/8"}, `vpcCidr is "10.0.0.0/8"`},
		{map[string]any{"vpc": true, "vpcZones": "4"}, `vpcZones is "4"; it must be 1, 2, 3.`},
		{map[string]any{"vpc": true, "vpcBuckets": `["*"]`}, `vpcBuckets has "*"`},
		{map[string]any{"vpcNat": true}, `vpc is false, and vpcNat is given`},
		{map[string]any{"vpcBuckets": `["data"]`}, `vpc is false, and vpcBuckets is given`},
		{try, ""},
		{map[string]any{"clusterCertificates": "certs.zip"}, `clusterCertificates is "certs.zip"; it must be s3://<bucket>/<key>.zip.`},
		{map[string]any{"clusterTry": true}, `clusterCertificates is not given, and clusterTry is true`},
		{map[string]any{"clusterTry": true, "clusterCertificates": "s3://setup/certs.zip", "clusterLogs": "s3://logs/"}, `clusterSubnet is not given, and clusterTry is true`},
		{map[string]any{"clusterAssignment": true}, `clusterCertificates is not given, and clusterInstance or clusterAssignment is`},
		{with(map[string]any{"clusterRelease": "emr-7.10.0"}), `clusterRelease is "emr-7.10.0"; it must be a release label from emr-7.11.0 on.`},
		{with(map[string]any{"clusterRelease": "emr-7.11.0"}), `clusterBootstrap is not given, and clusterRelease is emr-7.11.0`},
		{with(map[string]any{"clusterRelease": "emr-7.11.0", "clusterBackground": "false"}), ""},
		{with(map[string]any{"clusterRelease": "emr-7.11.0", "clusterBootstrap": "s3://setup/ubs.sh"}), ""},
		{with(map[string]any{"clusterBootstrap": "s3://setup/ubs.sh"}), `clusterBootstrap is given, and clusterRelease is emr-7.12.0`},
		{with(map[string]any{"clusterRelease": "emr-8.0.0"}), ""},
		{map[string]any{"notebookPolicies": "all"}, `notebookPolicies is "all"; it must be true or false.`},
	} {
		_, err := Read(c.given)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got %v, want %q", c.given, err, c.want)
		}
	}
}

// The four quarters are the whole, and none overlaps another.
func TestQuarters(t *testing.T) {
	n := networkSettings{CIDR: netip.MustParsePrefix("10.64.0.0/22")}
	got := fmt.Sprint(n.quarter(0), n.quarter(1), n.quarter(2), n.quarter(3))
	if want := "10.64.0.0/24 10.64.1.0/24 10.64.2.0/24 10.64.3.0/24"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
