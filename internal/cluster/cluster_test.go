package cluster

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"nightshift/internal/fault"
	"nightshift/internal/finding"
	"nightshift/internal/session"
)

var settings = Settings{
	RoleARN: "arn:aws:iam::123456789012:role/emr-idc", CertificateS3: "s3://amzn-bucket/certs.zip",
	InstanceARN: "arn:aws:sso:::instance/ssoins-1234567890abcdef", Background: true,
}

// TestS7_1RenderedIsReadBack: what we write enables what it says, under the
// documented key names.
func TestS7_1RenderedIsReadBack(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		s := settings
		s.Background, s.AssignmentRequired = on, !on
		text, err := Render(s)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"EnableUserBackgroundSession": `) || strings.Contains(string(text), "userBackgroundSessionsEnabled") {
			t.Errorf("S7.1 the switch must be written under its documented name:\n%s", text)
		}
		c, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.Background == nil || *c.Background != on || *c.AssignmentRequired != !on || c.RoleARN != s.RoleARN || c.InstanceARN != s.InstanceARN || c.SessionTag != "Amazon EMR" || c.CertificateS3 != s.CertificateS3 {
			t.Errorf("S7.1 read back: %+v", c)
		}
		want := finding.OK
		if !on {
			want = finding.Failure
		}
		if got := finding.Worst(Check(c, Cluster{})); got != want {
			t.Errorf("S7.1 background %t: the worst finding is %s, want %s", on, got, want)
		}
	}
}

func TestS7_1SettingsAreRefusedTogether(t *testing.T) {
	t.Parallel()
	_, err := Render(Settings{RoleARN: "role", CertificateS3: "certs.zip", InstanceARN: "mine"})
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
	for _, field := range []string{"role:", "certificates:", "instance:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s %v", field, err)
		}
	}
}

// documented has the shape, and the flaws, of AWS's example: a shell command's
// backslashes, one spelling of "assignment", no role.
const documented = `{ \
 "AuthenticationConfiguration":{ \
  "IdentityCenterConfiguration":{"EnableIdentityCenter":true, "IdentityCenterApplicationAssigmentRequired":false,
   "EnableUserBackgroundSession":true}}, \
 "AuthorizationConfiguration":{"LakeFormationConfiguration":{"AuthorizedSessionTagValue":"Amazon EMR"}},
 "EncryptionConfiguration":{"EnableInTransitEncryption":true,"InTransitEncryptionConfiguration":{
  "TLSCertificateConfiguration":{"CertificateProviderType":"PEM","S3Object":"s3://bucket/c.zip"}}}}`

func TestS7_1DocumentsOfAWSAreRead(t *testing.T) {
	t.Parallel()
	wrapped, err := json.Marshal(map[string]string{"Name": "x", "SecurityConfiguration": strings.ReplaceAll(documented, "\\\n", "\n")})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the example as printed": documented, "in a shell's quotes": "'" + documented + "'", "DescribeSecurityConfiguration": string(wrapped),
		"the other spelling": strings.Replace(documented, "Assigment", "Assignment", 1),
		"the prose's key":    strings.Replace(documented, "EnableUserBackgroundSession", "userBackgroundSessionsEnabled", 1),
		"a switch as string": strings.Replace(documented, `"EnableUserBackgroundSession":true`, `"EnableUserBackgroundSession":"true"`, 1),
	} {
		c, err := Read([]byte(text))
		if err != nil {
			t.Errorf("S7.1 %s: %v", name, err)
			continue
		}
		if c.Background == nil || !*c.Background || c.AssignmentRequired == nil || *c.AssignmentRequired || c.RoleARN != "" || c.SessionTag == "" {
			t.Errorf("S7.1 %s: %+v", name, c)
		}
	}
}

func TestReadRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, says string }{
		{"not JSON", "{\n\"AuthenticationConfiguration\": nope}", "line 2"},
		{"cut off", documented[:200], "JSON"},
		{"empty", "", "JSON"},
		{"something else", `{"Version":"2012-10-17"}`, "not a security configuration"},
		{"EMR on EKS", `{"securityConfigurationData":{"authenticationConfiguration":{}}}`, "EMR on EKS"},
		{"no switch", strings.Replace(documented, `"EnableIdentityCenter":true`, `"EnableIdentityCenter":1`, 1), "EnableIdentityCenter: it is 1; it must be true or false"},
		{"two spellings", strings.Replace(documented, `"EnableUserBackgroundSession":true`, `"EnableUserBackgroundSession":true,"userBackgroundSessionsEnabled":false`, 1), "must agree"},
	} {
		_, err := Read([]byte(c.text))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want it to say %q", c.name, err, c.says)
		}
	}
}

// TestS7_2EachFaultIsFound plants one fault at a time.
func TestS7_2EachFaultIsFound(t *testing.T) {
	t.Parallel()
	good := Cluster{ReleaseLabel: "emr-7.12.0", Masters: 1, Classifications: Classifications(8 * time.Hour), Known: true}
	on, off := true, false
	for _, c := range []struct {
		name  string
		plant func(*Configuration, *Cluster)
		check string
		want  finding.Result
	}{
		{"none", func(*Configuration, *Cluster) {}, "", finding.OK},
		{"no Identity Center", func(c *Configuration, _ *Cluster) { c.IdentityCenter = &off }, "identity-center", finding.Failure},
		{"background unset", func(c *Configuration, _ *Cluster) { c.Background = nil }, "background-sessions", finding.Failure},
		{"background off", func(c *Configuration, _ *Cluster) { c.Background = &off }, "background-sessions", finding.Failure},
		{"the prose's key", func(c *Configuration, _ *Cluster) { c.Background, c.BackgroundKey = &on, backgroundKeys[1] }, "background-sessions", finding.Warning},
		{"no role", func(c *Configuration, _ *Cluster) { c.RoleARN = "" }, "identity-center-role", finding.Warning},
		{"a bad role", func(c *Configuration, _ *Cluster) { c.RoleARN = "YOUR_ROLE" }, "identity-center-role", finding.Failure},
		{"no encryption", func(c *Configuration, _ *Cluster) { c.InTransit = nil }, "in-transit-encryption", finding.Failure},
		{"no certificates", func(c *Configuration, _ *Cluster) { c.CertificateS3 = "" }, "in-transit-encryption", finding.Warning},
		{"no authorization", func(c *Configuration, _ *Cluster) { c.SessionTag = "" }, "data-authorization", finding.Failure},
		{"no runtime roles", func(c *Configuration, _ *Cluster) { c.RuntimeRoles = nil }, "runtime-roles", finding.Warning},
		{"repaired", func(c *Configuration, _ *Cluster) { c.Repaired = []string{"x"} }, "document", finding.Warning},
		{"an old release", func(_ *Configuration, k *Cluster) { k.ReleaseLabel = "emr-7.9.0" }, "release", finding.Failure},
		{"7.11, bootstrap unknown", func(_ *Configuration, k *Cluster) { k.ReleaseLabel = "emr-7.11.0" }, "release", finding.Unknown},
		{"7.11, no bootstrap", func(_ *Configuration, k *Cluster) {
			k.ReleaseLabel, k.BootstrapConfirmed, k.UnifiedStudioCluster = "emr-7.11.0", session.Off, session.Off
		}, "release", finding.Failure},
		{"no release", func(_ *Configuration, k *Cluster) { k.ReleaseLabel = "" }, "release", finding.Unknown},
		{"three primary nodes", func(_ *Configuration, k *Cluster) { k.Masters = 3 }, "primary-nodes", finding.Failure},
		{"primary nodes unknown", func(_ *Configuration, k *Cluster) { k.Masters = 0 }, "primary-nodes", finding.Unknown},
		{"no impersonation", func(_ *Configuration, k *Cluster) { k.Classifications = []Classification{} }, "impersonation", finding.Warning},
		{"configuration unknown", func(_ *Configuration, k *Cluster) { k.Classifications = nil }, "skip-busy", finding.Unknown},
	} {
		text, err := Render(settings)
		if err != nil {
			t.Fatal(err)
		}
		conf, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		k := good
		c.plant(&conf, &k)
		all := Check(conf, k)
		found := c.check == ""
		for _, f := range all {
			if f.What == "" || (f.Fix == "") != (f.Result == finding.OK) {
				t.Errorf("%s: %s must say what it saw, and how to mend it unless it is ok: %+v", c.name, f.Check, f)
			}
			found = found || f.Check == c.check && f.Result == c.want
		}
		if !found || (c.check == "" && finding.Worst(all) != finding.OK) {
			t.Errorf("S7.2 %s: want %s %s in %+v", c.name, c.check, c.want, all)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte(`{"SecurityConfiguration":"{}"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Read(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("the error must be of kind Invalid: %v", err)
			}
			return
		}
		if len(Check(c, Cluster{Known: true})) < 10 {
			t.Error("a check is missing")
		}
	})
}
