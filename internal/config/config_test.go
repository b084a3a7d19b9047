package config_test

import (
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/session"
)

const list = `[
  {"endpoint":"livy/j-1YONHTCP3YZKC","url":"https://ip-10-0-0-1.ec2.internal:8998",
   "applicationArn":"arn:aws:sso::123456789012:application/ssoins-1111222233334444/apl-aaaabbbbccccdddd",
   "identityPropagation":"on","clusterBackground":"on","releaseLabel":"emr-7.11.0",
   "bootstrapConfirmed":"off","unifiedStudioCluster":"unknown","unifiedStudioLaunch":"on"},
  {"endpoint":"emr-containers/123456789012/us-east-1","identityPropagation":"off","virtualClusters":["abc123"]},
  {"endpoint":"sagemaker/123456789012/eu-west-1","userTag":"team:owner"}]`

const memberRole = "arn:aws:iam::<account>:role/nightshift-drain-endpoint-<region>"

const tokenSecret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nightshift/portal-AbCdEf"

func complete() map[string]string {
	return map[string]string{
		config.Region:          "us-east-1",
		config.Account:         "123456789012",
		config.Table:           "nightshift",
		config.Bus:             "arn:aws:events:us-east-1:123456789012:event-bus/nightshift",
		config.WatchMachine:    "arn:aws:states:us-east-1:123456789012:stateMachine:watch",
		config.DrainMachine:    "arn:aws:states:us-east-1:123456789012:stateMachine:drain",
		config.RunMachine:      "arn:aws:states:us-east-1:123456789012:stateMachine:run",
		config.MoveMachine:     "arn:aws:states:us-east-1:123456789012:stateMachine:move-notebook",
		config.IdentityStoreID: "d-1234567890",
		config.IdentityRegion:  "eu-west-1",
		config.IdentityAccount: "111122223333",
		config.Endpoints:       list,
		config.LogLevel:        "warn",
		config.FactsAge:        "10m",
		config.SessionsURL:     "https://portal.example.com/sessions?tenant=one",

		config.SessionsTokenSecret: tokenSecret,

		config.ConsoleIssuer: "https://login.example.com/pool", config.ConsoleAudience: "api", config.ConsoleClientID: "page",
		config.ConsoleUserClaim: "custom:store_user", config.ConsoleGroupsClaim: "groups",
		config.ConsoleAdministrators: `["night-admins", "arn:aws:iam::123456789012:role/ops/Night"]`,
	}
}

func with(variable, value string) func(string) string {
	env := complete()
	if variable != "" {
		env[variable] = value
	}
	return func(v string) string { return env[v] }
}

func TestComplete(t *testing.T) {
	got, err := config.Load(with(config.MemberRole, memberRole), config.Variables()...)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Region: "us-east-1", Account: "123456789012", Table: "nightshift", Bus: "arn:aws:events:us-east-1:123456789012:event-bus/nightshift",
		WatchMachine: "arn:aws:states:us-east-1:123456789012:stateMachine:watch",
		DrainMachine: "arn:aws:states:us-east-1:123456789012:stateMachine:drain",
		RunMachine:   "arn:aws:states:us-east-1:123456789012:stateMachine:run",
		MoveMachine:  "arn:aws:states:us-east-1:123456789012:stateMachine:move-notebook",

		IdentityStoreID: "d-1234567890", IdentityRegion: "eu-west-1", IdentityAccount: "111122223333", MemberRole: memberRole, LogLevel: slog.LevelWarn,
		FactsAge: 10 * time.Minute, SessionsURL: "https://portal.example.com/sessions?tenant=one", SessionsTokenSecret: tokenSecret,
		ConsoleIssuer: "https://login.example.com/pool", ConsoleAudience: "api", ConsoleClientID: "page",
		ConsoleUserClaim: "custom:store_user", ConsoleGroupsClaim: "groups", ConsoleAdministrators: []string{"night-admins", "arn:aws:iam::123456789012:role/ops/Night"},
		Endpoints: []config.Endpoint{
			{
				ID: "livy/j-1YONHTCP3YZKC", API: "livy", URL: "https://ip-10-0-0-1.ec2.internal:8998",
				ApplicationARN: "arn:aws:sso::123456789012:application/ssoins-1111222233334444/apl-aaaabbbbccccdddd",
				Cadence:        cadence.Of("livy"),
				Facts: session.Facts{
					IdentityPropagation: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.11.0",
					BootstrapConfirmed: session.Off, UnifiedStudioLaunch: session.On,
				},
			},
			{
				ID: "emr-containers/123456789012/us-east-1", API: "emr-containers", Region: "us-east-1", Cadence: cadence.Of("emr-containers"),
				Facts: session.Facts{IdentityPropagation: session.Off}, VirtualClusters: []string{"abc123"},
				UserTag: config.UserTagDefault,
			},
			{ID: "sagemaker/123456789012/eu-west-1", API: "sagemaker", Region: "eu-west-1", Cadence: cadence.Of("sagemaker"), UserTag: "team:owner"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOptional(t *testing.T) {
	got, err := config.Load(func(v string) string { return map[string]string{config.Region: "us-east-1"}[v] })
	if err != nil {
		t.Fatal(err)
	}
	if got.FactsAge != 0 || got.SessionsURL != "" || got.SessionsTokenSecret != "" {
		t.Errorf("facts age %s, sessions %q %q", got.FactsAge, got.SessionsURL, got.SessionsTokenSecret)
	}
	if got.IdentityRegion != "us-east-1" || got.LogLevel != slog.LevelInfo {
		t.Errorf("identity region %q, log level %s", got.IdentityRegion, got.LogLevel)
	}
}

// An empty environment is answered with every missing variable at once.
func TestAllMissing(t *testing.T) {
	for _, function := range config.Functions() {
		_, err := config.Load(func(string) string { return "" }, config.For(function)...)
		if err == nil {
			t.Fatalf("%s: no error", function)
		}
		lines := strings.Split(err.Error(), "\n")
		needed := append(config.For(function), config.Region)
		if len(lines) != len(needed) {
			t.Errorf("%s: %d sentences, want %d:\n%s", function, len(lines), len(needed), err)
		}
		for _, v := range needed {
			if !slices.ContainsFunc(lines, func(l string) bool {
				return strings.HasPrefix(l, v+" is not set; it must be ") && strings.HasSuffix(l, ".")
			}) {
				t.Errorf("%s: no sentence says that %s is missing:\n%s", function, v, err)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, variable, value, want string }{
		{"region", config.Region, "Virginia", "AWS_REGION is \"Virginia\"; it must be a region"},
		{"account", config.Account, "12345", "NIGHTSHIFT_ACCOUNT is \"12345\"; it must be an account id of 12 digits."},
		{"table", config.Table, "a b", "NIGHTSHIFT_TABLE is \"a b\"; it must be a table name"},
		{"bus", config.Bus, "b us", "NIGHTSHIFT_BUS"},
		{"machine", config.WatchMachine, "watch", "NIGHTSHIFT_WATCH_MACHINE_ARN is \"watch\"; it must be the ARN of a state machine"},
		{"identity store", config.IdentityStoreID, "store", "NIGHTSHIFT_IDENTITY_STORE_ID"},
		{"level", config.LogLevel, "loud", "NIGHTSHIFT_LOG_LEVEL is \"loud\"; it must be debug, info, warn or error."},
		{"facts age", config.FactsAge, "2h", "NIGHTSHIFT_FACTS_AGE is \"2h\"; it must be a duration from 1m to 1h."},
		{"facts age without a unit", config.FactsAge, "60", "it must be a duration"},
		{"sessions in the clear", config.SessionsURL, "http://portal.example.com", "NIGHTSHIFT_SESSIONS_URL is not usable; it must be the address of an HTTPS endpoint"},
		{"sessions with a password", config.SessionsURL, "https://a:b@portal.example.com", "without user name and password"},
		{"a token where its secret belongs", config.SessionsTokenSecret, "abc-123==", "NIGHTSHIFT_SESSIONS_TOKEN_SECRET is not usable; it must be the ARN of a secret"},
		{"a secret without its six characters", config.SessionsTokenSecret, "arn:aws:secretsmanager:us-east-1:123456789012:secret:portal", "must be the ARN of a secret"},
		{"many secrets", config.SessionsTokenSecret, "arn:aws:secretsmanager:us-east-1:123456789012:secret:*-AbCdEf", "must be the ARN of a secret"},
		{"no JSON", config.Endpoints, "livy", "NIGHTSHIFT_ENDPOINTS cannot be read"},
		{"null", config.Endpoints, "null", "it is null"},
		{"more than the list", config.Endpoints, "[] []", "something follows the list"},
		{"misspelt field", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","identitypropagation":"on","relaeseLabel":"x"}]`, "relaeseLabel"},
		{"twice", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1"},{"endpoint":"sagemaker/123456789012/us-east-1"}]`,
			"NIGHTSHIFT_ENDPOINTS[1].endpoint is \"sagemaker/123456789012/us-east-1\", which is in the list already"},
		{"unknown api", config.Endpoints, `[{"endpoint":"glue/123456789012/us-east-1"}]`, "it must be livy/<cluster>, or emr-containers"},
		{"an api without an engine", config.Endpoints, `[{"endpoint":"emr-serverless/123456789012/us-east-1"}]`, "it must be livy/<cluster>, or emr-containers"},
		{"no region", config.Endpoints, `[{"endpoint":"sagemaker/123456789012"}]`, "NIGHTSHIFT_ENDPOINTS[0].endpoint"},
		{"identity account", config.IdentityAccount, "1111", "NIGHTSHIFT_IDENTITY_ACCOUNT is \"1111\"; it must be an account id of 12 digits."},
		{"one member's role", config.MemberRole, "arn:aws:iam::210987654321:role/nightshift-us-east-1", "NIGHTSHIFT_MEMBER_ROLE_ARN is \"arn:aws:iam::210987654321:role/nightshift-us-east-1\"; it must be the ARN of a role"},
		{"another account's", config.Endpoints, `[{"endpoint":"sagemaker/210987654321/us-east-1"}]`, "is of account 210987654321; it must be of 123456789012"},
		{"Livy without address", config.Endpoints, `[{"endpoint":"livy/j-1"}]`, "NIGHTSHIFT_ENDPOINTS[0].url must be the address"},
		{"address with a password", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://a:b@h:8998"}]`, "user name or password"},
		{"address of another api", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","url":"https://h"}]`, "only endpoints of livy have one"},
		{"a tag of a server without tags", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","userTag":"owner"}]`, "NIGHTSHIFT_ENDPOINTS[0].userTag is given; only endpoints of sagemaker, emr-containers and emr-notebook have tags."},
		{"a tag of AWS's own", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","userTag":"AWS:createdBy"}]`, `userTag is "AWS:createdBy"; it must be the name of a tag: 1 to 128 letters`},
		{"the tag of sessions", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","userTag":"nightshift:session"}]`, `and not "nightshift:session", which names sessions.`},
		{"no name of a tag", config.Endpoints, `[{"endpoint":"emr-notebook/123456789012/us-east-1","userTag":"a,b"}]`, `userTag is "a,b"; it must be the name of a tag`},
		{"tri", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","identityPropagation":"yes"}]`, `identityPropagation is "yes"; it must be on, off or unknown.`},
		{"application", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","applicationArn":"apl-1"}]`, "applicationArn is \"apl-1\""},
		{"release", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","releaseLabel":"7.11"}]`, `releaseLabel is "7.11"`},
		{"virtual clusters of another api", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","virtualClusters":["a"]}]`, "only endpoints of emr-containers"},
		{"notebooks of another account", config.Endpoints, `[{"endpoint":"emr-notebook/210987654321/us-east-1"}]`, "is of account 210987654321"},
		{"notebooks with an address", config.Endpoints, `[{"endpoint":"emr-notebook/123456789012/us-east-1","url":"https://h"}]`, "only endpoints of livy have one"},
		{"notebooks with a role", config.Endpoints, `[{"endpoint":"emr-notebook/123456789012/us-east-1","executionRoleArn":"arn:aws:iam::123456789012:role/x"}]`,
			"NIGHTSHIFT_ENDPOINTS[0].executionRoleArn is given; only endpoints of livy have one."},
		{"a doAs of another api", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","livyDoAs":"ana"}]`, "livyDoAs is given; only endpoints of livy have one."},
		{"role", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","executionRoleArn":"analyst"}]`, `executionRoleArn is "analyst"; it must be the ARN of a role`},
		{"role of no cluster", config.Endpoints, `[{"endpoint":"livy/lab","url":"https://h","executionRoleArn":"arn:aws:iam::123456789012:role/x"}]`, "only a cluster of EMR has credentials"},
		{"role in the clear", config.Endpoints, `[{"endpoint":"livy/j-1","url":"http://h","executionRoleArn":"arn:aws:iam::123456789012:role/x"}]`, "must not travel in the clear"},
		{"authorities that are none", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","livyCA":"MIIB"}]`, "livyCA cannot be read"},
		{"a key", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","livyCA":"-----BEGIN PRIVATE KEY-----\nYTpiQA==\n-----END PRIVATE KEY-----\n"}]`, "livyCA has a block of another type, private key"},
		{"no certificate in it", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","livyCA":"-----BEGIN CERTIFICATE-----\nYTpiQA==\n-----END CERTIFICATE-----\n"}]`, "livyCA has a certificate that cannot be read"},
		{"authorities twice", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","livyCA":` + authority + `,"livyCAFile":"ca.pem"}]`, "livyCAFile is given besides livyCA"},
		{"authorities in the clear", config.Endpoints, `[{"endpoint":"livy/j-1","url":"http://h","livyCAFile":"ca.pem"}]`, "no certificate to check"},
		{"doAs", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","livyDoAs":"a&b"}]`, `livyDoAs is "a&b"; it must be the name of a user of Livy`},
		{"no stops at all", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","stopsPerSecond":0}]`, "stopsPerSecond is 0; it must be more than 0 and at most 100."},
		{"burst", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","stopBurst":0}]`, "stopBurst is 0; it must be a whole number from 1 to 1000."},
		{"at once", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","stopsAtOnce":65}]`, "stopsAtOnce is 65"},
		{"page size of another api", config.Endpoints, `[{"endpoint":"sagemaker/123456789012/us-east-1","pageSize":50}]`, "pageSize is given; only endpoints of livy have one to set."},
		{"page size", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","pageSize":0}]`, "pageSize is 0"},
		{"looked at too seldom", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","settledSeconds":301}]`, "settledSeconds is 301; it must be a whole number from 10 to 300."},
		{"young ones looked at too seldom", config.Endpoints, `[{"endpoint":"livy/j-1","url":"https://h","settledSeconds":30}]`, "youngSeconds is 60 and settledSeconds is 30"},
		{"virtual cluster", config.Endpoints, `[{"endpoint":"emr-containers/123456789012/us-east-1","virtualClusters":["A/B"]}]`, `virtualClusters has "A/B"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Load(with(c.variable, c.value))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant it to say %s", err, c.want)
			}
			if !strings.HasPrefix(err.Error(), c.variable) || !strings.HasSuffix(err.Error(), ".") {
				t.Errorf("not a sentence that begins with %s: %s", c.variable, err)
			}
			if strings.Contains(err.Error(), "a:b@") {
				t.Error("the sentence repeats a password")
			}
		})
	}
}

// Every rule's function is known, and every folder of functions/ has its
// variables said.
func TestFunctions(t *testing.T) {
	for _, r := range config.Rules() {
		if config.For(r.Function) == nil {
			t.Errorf("rule %s: no variables are said for %s", r.Name, r.Function)
		}
	}
	folders, err := os.ReadDir("../../functions")
	if err != nil {
		t.Fatal(err)
	}
	looked := map[string]bool{}
	for _, f := range folders {
		if _, err := os.Stat("../../functions/" + f.Name() + "/main.go"); err == nil {
			looked[f.Name()] = true
		}
	}
	if got := slices.Sorted(maps.Keys(looked)); !slices.Equal(got, config.Functions()) {
		t.Errorf("functions/ has %v\nconfig says %v", got, config.Functions())
	}
	for _, f := range config.Functions() {
		for _, v := range config.For(f) {
			if !slices.Contains(config.Variables(), v) {
				t.Errorf("%s needs %s, which is not a variable to set", f, v)
			}
		}
	}
	if config.For("nothing") != nil {
		t.Error("something is said for a function that is none")
	}
}
