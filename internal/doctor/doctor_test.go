package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/cluster"
	"nightshift/internal/config"
	"nightshift/internal/doctor"
	"nightshift/internal/finding"
	"nightshift/internal/network"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

var now = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

const (
	roleTrust   = `{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/nodes"}, "Action": ["sts:AssumeRole", "sts:SetContext"]}}`
	studioTrust = `{"Statement": [{"Effect": "Allow", "Principal": {"Service": ["sagemaker.amazonaws.com"]}, "Action": "sts:*"}]}`
)

// healthy is a world in which everything is ok, but for the one thing that nobody
// can tell.
func healthy(t *testing.T) *doctor.Facts {
	t.Helper()
	document, err := cluster.Render(cluster.Settings{RoleARN: "arn:aws:iam::123456789012:role/idc", CertificateS3: "s3://bucket/certs.zip", Background: true})
	if err != nil {
		t.Fatal(err)
	}
	on := func(arn, of string) doctor.Application {
		return doctor.Application{ARN: arn, Of: of, Background: doctor.Read(true)}
	}
	said := &config.Endpoint{ID: "livy/j-1", Facts: session.Facts{ReleaseLabel: "emr-7.12.0", ClusterBackground: session.On}}
	sign := config.Rule{Name: "sign-out", ReadOnly: true, Pattern: `{"source":["a"]}`}
	return &doctor.Facts{
		Account: &doctor.Account{
			Now: now, Region: "us-east-1", IdentityRegion: "us-east-1", IdentityStore: "d-1",
			Instances:          doctor.Read([]doctor.Instance{{ARN: "arn:i", Store: "d-1", Status: "ACTIVE"}}),
			InstanceBackground: doctor.Read(session.On), Applications: []doctor.Application{on("arn:app", "livy/j-1")}, Users: doctor.Read(12),
			Trails:  doctor.Read([]doctor.Trail{{ARN: "arn:t", Region: "us-east-1", Logging: true, Management: true, Reads: true, Writes: true}}),
			History: doctor.Read(true),
			Rules: []doctor.Rule{
				{Name: "n-sign-out", Want: sign, Found: doctor.Read(true), State: "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", Pattern: `{ "source": ["a"] }`, Targets: doctor.Read(1)},
				{Name: "n-schedule", Want: config.Rule{Name: doctor.Schedule}, Found: doctor.Read(true), State: "ENABLED", Targets: doctor.Read(2)},
			},
			Settings: doctor.Read(doctor.Settings{Endpoints: []config.Endpoint{*said}}), Scim: doctor.Read(doctor.Scim{Used: true, Created: now.AddDate(0, -2, 0)}),
			Lambda:    doctor.Read(doctor.Concurrency{Limit: 1000, Unreserved: 900}),
			Endpoints: doctor.Read([]doctor.Endpoint{{ID: "livy/j-1", Live: 3, Capacity: 660, LastListed: now.Add(-time.Minute)}}),
		},
		Clusters: []doctor.Cluster{{
			ID: "j-1", State: doctor.Read("WAITING"), Document: doctor.Read(string(document)), Application: on("arn:app", "EMR's"), Said: said,
			Facts:   cluster.Cluster{Known: true, ReleaseLabel: "emr-7.12.0", Classifications: cluster.Classifications(8 * time.Hour), Masters: 1},
			Profile: doctor.Read("arn:aws:iam::123456789012:role/nodes"), Trust: doctor.Read(roleTrust), Idle: doctor.Read(8 * time.Hour),
		}},
		Domains: []doctor.Domain{{
			ID: "d-s", Region: "us-east-1", Status: doctor.Read("InService"), Auth: "SSO", Propagation: session.On, Application: on("arn:studio", "the domain's"),
			Home: doctor.Read([]string{"us-east-1"}), Role: "arn:role", Trust: doctor.Read(studioTrust), Remote: doctor.Read([]string{}),
		}},
		Jobs: []doctor.Job{{
			Name: "churn", Engine: workload.SageMakerTraining, Role: "arn:role", Trust: doctor.Read(studioTrust), Checkpoint: "s3://b/c", MaxRuntime: 2 * time.Hour,
			Instances: 2, InstanceType: "ml.m5.xlarge", Quota: doctor.Read(4.0), QuotaName: "ml.m5.xlarge for training job usage",
		}},
	}
}

// notOK are the findings that are not ok, and not the one that never is.
func notOK(all []finding.Finding) []finding.Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f finding.Finding) bool { return f.Result == finding.OK || f.Check == "role-chaining" })
}

// S7.2: each rule, by what must not be. One row is one planted fact and the one
// finding that it must make: its result, what it says, and how to mend it.
func TestS7_2EachRule(t *testing.T) {
	t.Parallel()
	if bad := notOK(doctor.Check(*healthy(t))); len(bad) > 0 {
		t.Fatalf("the healthy world is not: %+v", bad)
	}
	type F = doctor.Facts
	for _, c := range []struct {
		name   string
		plant  func(*F)
		check  string
		result finding.Result
		what   string
		fix    string
	}{
		{"no instance", func(f *F) { f.Account.Instances = doctor.Read([]doctor.Instance{}) }, "identity-center", finding.Failure, "no instance of Identity Center in this Region", "--identity-region"},
		{"instance not active", func(f *F) { f.Account.Instances.Value[0].Status = "CREATE_FAILED" }, "identity-center", finding.Failure, "CREATE_FAILED", "console"},
		{"another directory", func(f *F) { f.Account.IdentityStore = "d-2" }, "identity-center", finding.Failure, "looks users up in d-2", "identityStoreId to d-1"},
		{"directory not known", func(f *F) { f.Account.IdentityStore = "" }, "identity-center", finding.Unknown, "not known", "--identity-store"},
		{"instances unread", func(f *F) { f.Account.Instances = doctor.Unread[[]doctor.Instance]("access denied") }, "identity-center", finding.Unknown, "access denied", "--permissions"},
		{"level 1 off", func(f *F) { f.Account.InstanceBackground = doctor.Read(session.Off) }, "instance-background", finding.Failure, "every run ends", "--instance-background on"},
		{"level 1 unknown", func(f *F) { f.Account.InstanceBackground = doctor.Read(session.Unknown) }, "instance-background", finding.Unknown, "no API", "--instance-background on"},
		{"level 1 unread", func(f *F) { f.Account.InstanceBackground = doctor.Fact[session.Tri]{} }, "instance-background", finding.Unknown, "it was not read", "--stack"},
		{"level 2 off", func(f *F) { f.Account.Applications[0].Background = doctor.Read(false) }, "application-background", finding.Failure, "Background sessions are off", "put-application-session-configuration"},
		{"level 2 unread", func(f *F) { f.Account.Applications[0].Background = doctor.Unread[bool]("throttled") }, "application-background", finding.Unknown, "throttled", "--permissions"},
		{"no application", func(f *F) { f.Account.Applications = nil }, "application-background", finding.Unknown, "no application is known", "applicationArn"},
		{"an endpoint without", func(f *F) { f.Account.Applications[0].ARN = "" }, "application-background", finding.Unknown, "not known", "applicationArn"},
		{"users unread", func(f *F) { f.Account.Users = doctor.Unread[int]("access denied") }, "lost-users", finding.Unknown, "access denied", "--permissions"},
		{"no trail", func(f *F) { f.Account.Trails.Value = nil }, "trail", finding.Failure, "There is no trail", "Make a trail"},
		{"trail elsewhere", func(f *F) { f.Account.Trails.Value[0].Region = "eu-west-1" }, "trail", finding.Failure, "records only eu-west-1", "all Regions"},
		{"trail stopped", func(f *F) { f.Account.Trails.Value[0].Logging = false }, "trail", finding.Failure, "does not log", "Make a trail"},
		{"no management events", func(f *F) { f.Account.Trails.Value[0].Management = false }, "trail", finding.Failure, "leaves management events out", "Read and Write"},
		{"only reading", func(f *F) { f.Account.Trails.Value[0].Writes = false }, "trail", finding.Failure, "leaves management events out", "Read and Write"},
		{"only writing", func(f *F) { f.Account.Trails.Value[0].Reads = false }, "trail", finding.Failure, "only read", "Read and Write"},
		{"delivery fails", func(f *F) { f.Account.Trails.Value[0].DeliveryFailed = "AccessDenied" }, "trail", finding.Warning, "AccessDenied", "bucket"},
		{"a trail unread", func(f *F) { f.Account.Trails.Value[0].Unread = "access denied" }, "trail", finding.Unknown, "access denied", "--permissions"},
		{"trails unread", func(f *F) { f.Account.Trails = doctor.Unread[[]doctor.Trail]("no answer") }, "trail", finding.Unknown, "no answer", "--permissions"},
		{"history unread", func(f *F) { f.Account.History = doctor.Unread[bool]("access denied") }, "lost-sign-outs", finding.Unknown, "access denied", "--permissions"},
		{"rule pattern", func(f *F) { f.Account.Rules[0].Pattern = `{"source":["b"]}` }, "rules", finding.Warning, "not the one of this version", "Deploy again"},
		{"rule gone", func(f *F) { f.Account.Rules[0].Found = doctor.Read(false) }, "rules", finding.Failure, "not there", "Deploy again"},
		{"rule off", func(f *F) { f.Account.Rules[0].State = "DISABLED" }, "rules", finding.Failure, "It is off", "enable-rule --name n-sign-out"},
		{"rule blind to reading", func(f *F) { f.Account.Rules[0].State = "ENABLED" }, "rules", finding.Failure, "only read", "Deploy again"},
		{"rule without target", func(f *F) { f.Account.Rules[0].Targets = doctor.Read(0) }, "rules", finding.Failure, "leads nowhere", "Deploy again"},
		{"targets unread", func(f *F) { f.Account.Rules[0].Targets = doctor.Unread[int]("x") }, "rules", finding.Unknown, "x", "--permissions"},
		{"rule unread", func(f *F) { f.Account.Rules[0].Found = doctor.Unread[bool]("x") }, "rules", finding.Unknown, "x", "--permissions"},
		{"token expired", func(f *F) { f.Account.Scim.Value.Created = now.AddDate(-1, 0, 0) }, "scim-token", finding.Failure, "expired after a year", "generate a new token"},
		{"token expires", func(f *F) { f.Account.Scim.Value.Created = now.AddDate(0, -10, 0) }, "scim-token", finding.Warning, "expires in", "generate a new token"},
		{"token's age unknown", func(f *F) { f.Account.Scim.Value = doctor.Scim{Used: true, Seen: true} }, "scim-token", finding.Unknown, "calls are recorded", "--scim-token"},
		{"nothing of a token", func(f *F) { f.Account.Scim.Value = doctor.Scim{Used: true} }, "scim-token", finding.Unknown, "no call", "--scim-token"},
		{"token unread", func(f *F) { f.Account.Scim = doctor.Unread[doctor.Scim]("x") }, "scim-token", finding.Unknown, "x", "--permissions"},
		{"settings broken", func(f *F) { f.Account.Settings.Value.Fault = "x is wrong" }, "settings", finding.Failure, "x is wrong", "deploy again"},
		{"no endpoints", func(f *F) { f.Account.Settings.Value.Endpoints = nil }, "settings", finding.Failure, "No endpoint", "endpoints"},
		{"settings unread", func(f *F) { f.Account.Settings = doctor.Unread[doctor.Settings]("x") }, "settings", finding.Unknown, "x", "--permissions"},
		{"little Lambda", func(f *F) { f.Account.Lambda.Value.Limit = 10 }, "lambda-concurrency", finding.Failure, "10 concurrent", "Service Quotas"},
		{"Lambda unread", func(f *F) { f.Account.Lambda = doctor.Unread[doctor.Concurrency]("x") }, "lambda-concurrency", finding.Unknown, "x", "--permissions"},
		{"too many runs", func(f *F) { f.Account.Endpoints.Value[0].Live = 661 }, "capacity", finding.Warning, "661 live runs", "stopsPerSecond"},
		{"never listed", func(f *F) { f.Account.Endpoints.Value[0].LastListed = time.Time{} }, "capacity", finding.Unknown, "not been listed", "observe-endpoint"},
		{"listed long ago", func(f *F) { f.Account.Endpoints.Value[0].LastListed = now.Add(-time.Hour) }, "capacity", finding.Failure, "is not seen", "observe-endpoint"},
		{"endpoints unread", func(f *F) { f.Account.Endpoints = doctor.Fact[[]doctor.Endpoint]{} }, "capacity", finding.Unknown, "not read", "--permissions"},

		{"no cluster", func(f *F) { f.Clusters[0].State = doctor.Read("") }, "cluster-state", finding.Failure, "no such cluster", "list-clusters"},
		{"cluster over", func(f *F) { f.Clusters[0].State = doctor.Read("TERMINATED") }, "cluster-state", finding.Failure, "TERMINATED", "infra/README.md"},
		{"cluster unread", func(f *F) { f.Clusters[0].State = doctor.Unread[string]("x") }, "cluster-state", finding.Unknown, "x", "--permissions"},
		{"release", func(f *F) {
			f.Clusters[0].Facts.ReleaseLabel, f.Clusters[0].Said = "emr-7.9.0", nil
		}, "release", finding.Failure, "needed, and not so", "emr-7.12.0"},
		{"bootstrap", func(f *F) {
			f.Clusters[0].Facts.ReleaseLabel, f.Clusters[0].Said = "emr-7.11.0", nil
			f.Clusters[0].Facts.BootstrapConfirmed, f.Clusters[0].Facts.UnifiedStudioCluster = session.Off, session.Off
		}, "release", finding.Failure, "bootstrap", "bootstrap action that AWS Support gives"},
		{"several primary nodes", func(f *F) { f.Clusters[0].Facts.Masters = 3 }, "primary-nodes", finding.Failure, "several", "one primary node"},
		{"Livy times out first", func(f *F) { f.Clusters[0].Facts.Classifications = cluster.Classifications(time.Hour) }, "livy-timeout", finding.Failure, "shorter", "cluster render"},
		{"Livy's timeout is not read", func(f *F) { f.Clusters[0].Facts.Classifications[1].Properties[cluster.TimeoutKey] = "soon" }, "livy-timeout", finding.Failure, "cannot read", "cluster render"},
		{"Livy's timeout is not set", func(f *F) { delete(f.Clusters[0].Facts.Classifications[1].Properties, cluster.TimeoutKey) }, "livy-timeout", finding.Warning, "not set", "cluster render"},
		{"Nightshift's limit unknown", func(f *F) { f.Clusters[0].Idle = doctor.Unread[time.Duration]("x") }, "livy-timeout", finding.Unknown, "x", "--permissions"},
		{"no trust", func(f *F) { f.Clusters[0].Trust = doctor.Read(studioTrust) }, "identity-role-trust", finding.Failure, "may not sts:AssumeRole and sts:SetContext", "update-assume-role-policy"},
		{"trust without context", func(f *F) {
			f.Clusters[0].Trust = doctor.Read(strings.Replace(roleTrust, `, "sts:SetContext"`, "", 1))
		}, "identity-role-trust", finding.Failure, "may not sts:SetContext", "sts:SetContext"},
		{"trust by condition", func(f *F) {
			f.Clusters[0].Trust = doctor.Read(strings.Replace(roleTrust, `"Effect": "Allow"`, `"Effect": "Allow", "Condition": {"StringEquals": {"aws:PrincipalTag/x": "y"}}`, 1))
		}, "identity-role-trust", finding.Unknown, "a condition", "Look at the condition"},
		{"trust unread", func(f *F) { f.Clusters[0].Trust = doctor.Unread[string]("x") }, "identity-role-trust", finding.Unknown, "x", "--permissions"},
		{"told another release", func(f *F) {
			f.Clusters[0].Said = &config.Endpoint{ID: "livy/j-1", Facts: session.Facts{ReleaseLabel: "emr-7.11.0"}}
		}, "cluster-said", finding.Failure, "told releaseLabel emr-7.11.0, it is emr-7.12.0", "deploy again"},
		{"told otherwise", func(f *F) {
			f.Clusters[0].Said = &config.Endpoint{ID: "livy/j-1", Facts: session.Facts{ReleaseLabel: "emr-7.12.0", ClusterBackground: session.Off}}
		}, "cluster-said", finding.Failure, "told clusterBackground off, it is on", "deploy again"},

		{"told of a document that cannot be read", func(f *F) {
			f.Clusters[0].Document = doctor.Read("{")
			f.Clusters[0].Said = &config.Endpoint{ID: "livy/j-1", Facts: session.Facts{ClusterBackground: session.On}}
		}, "cluster-said", finding.Unknown, "could not be read", "--permissions"},

		{"no domain", func(f *F) { f.Domains[0].Status = doctor.Read("") }, "domain-status", finding.Failure, "no such domain", "list-domains"},
		{"domain not in service", func(f *F) { f.Domains[0].Status = doctor.Read("Failed") }, "domain-status", finding.Failure, "Failed", "describe-domain"},
		{"two Regions", func(f *F) { f.Domains[0].Home = doctor.Read([]string{"eu-west-1"}) }, "domain-region", finding.Failure, "eu-west-1", "Identity Center's Region"},
		{"home unread", func(f *F) { f.Domains[0].Home = doctor.Unread[[]string]("x") }, "domain-region", finding.Unknown, "x", "--permissions"},
		{"domain of IAM", func(f *F) { f.Domains[0].Auth = "IAM" }, "domain-auth", finding.Failure, "by IAM", "AuthMode SSO"},
		{"no propagation", func(f *F) { f.Domains[0].Propagation = session.Off }, "identity-propagation", finding.Failure, "a sign-out does not touch it", "update-domain"},
		{"propagation unknown", func(f *F) { f.Domains[0].Propagation = session.Unknown }, "identity-propagation", finding.Unknown, "does not say", "describe-domain"},
		{"domain being made", func(f *F) { f.Domains[0].Status = doctor.Read("Pending") }, "domain-status", finding.Unknown, "which passes", "try again"},
		{"domain of nobody knows what", func(f *F) { f.Domains[0].Auth = "" }, "domain-auth", finding.Unknown, "does not say", "AuthMode"},
		{"instance being made", func(f *F) { f.Account.Instances.Value[0].Status = "CREATE_IN_PROGRESS" }, "identity-center", finding.Unknown, "being made", "try again"},
		{"domain's application off", func(f *F) { f.Domains[0].Application.Background = doctor.Read(false) }, "application-background", finding.Failure, "off", "arn:studio"},
		{"domain's role", func(f *F) { f.Domains[0].Trust = doctor.Read(roleTrust) }, "execution-role-trust", finding.Failure, "sagemaker.amazonaws.com may not", "sts:SetContext"},
		{"remote access", func(f *F) { f.Domains[0].Remote = doctor.Read([]string{"ana", "bob"}) }, "remote-access", finding.Failure, "Remote access is on", "RemoteAccess=DISABLED"},
		{"spaces unread", func(f *F) { f.Domains[0].Remote = doctor.Unread[[]string]("x") }, "remote-access", finding.Unknown, "x", "--permissions"},

		{"request", func(f *F) { f.Jobs[0].Fault = "no JSON" }, "request", finding.Failure, "no JSON", "API reference"},
		{"job's role", func(f *F) { f.Jobs[0].Trust = doctor.Read(roleTrust) }, "execution-role-trust", finding.Failure, "may not", "sts:SetContext"},
		{"job without a role", func(f *F) { f.Jobs[0].Role = "" }, "execution-role-trust", finding.Failure, "names no role", "Name the role"},
		{"job of groups of instances", func(f *F) { f.Jobs[0].InstanceType = "" }, "instance-quota", finding.Unknown, "one type", "Service Quotas"},
		{"settings unread, and so no application", func(f *F) {
			f.Account.Applications, f.Account.Settings = nil, doctor.Unread[doctor.Settings]("x")
		}, "application-background", finding.Unknown, "x", "--permissions"},
		{"no checkpoint", func(f *F) { f.Jobs[0].Missing = "Set CheckpointConfig." }, "checkpoint", finding.Warning, "its work is lost", "CheckpointConfig"},
		{"no limit", func(f *F) { f.Jobs[0].MaxRuntime = 0 }, "max-runtime", finding.Warning, "after a day", "MaxRuntimeInSeconds"},
		{"too long", func(f *F) { f.Jobs[0].MaxRuntime = 29 * 24 * time.Hour }, "max-runtime", finding.Failure, "SageMaker allows 672h", "less"},
		{"quota", func(f *F) { f.Jobs[0].Instances = 5 }, "instance-quota", finding.Failure, "asks for 5", "Service Quotas"},
		{"quota unread", func(f *F) { f.Jobs[0].Quota = doctor.Unread[float64]("x") }, "instance-quota", finding.Unknown, "x", "--permissions"},
		{"virtual cluster", func(f *F) {
			f.Jobs[0] = doctor.Job{Engine: workload.EMRContainers, Checkpoint: "s3://b/c", ClusterName: "vc", Cluster: doctor.Read("ARRESTED")}
		}, "virtual-cluster", finding.Failure, "ARRESTED", "create-virtual-cluster"},
		{"no virtual cluster", func(f *F) {
			f.Jobs[0] = doctor.Job{Engine: workload.EMRContainers, Checkpoint: "s3://b/c", ClusterName: "vc", Cluster: doctor.Read("")}
		}, "virtual-cluster", finding.Failure, "not there", "list-virtual-clusters"},
	} {
		f := healthy(t)
		c.plant(f)
		all := notOK(doctor.Check(*f))
		found := slices.DeleteFunc(slices.Clone(all), func(x finding.Finding) bool { return x.Check != c.check })
		if len(found) != 1 || found[0].Result != c.result || !strings.Contains(found[0].What, c.what) || !strings.Contains(found[0].Fix, c.fix) {
			t.Errorf("%s: %+v, want %s %s: %s; fix: %s", c.name, all, c.check, c.result, c.what, c.fix)
		}
	}
}

// S3.5c: where the sweep is off nobody finds a lost sign-out, but for a session
// source, which is asked by it: the rule that is off says so itself, too.
func TestS3_5LostSignOuts(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	f.Account.Rules[1].State = "DISABLED"
	bad := notOK(doctor.Check(*f))
	if len(bad) != 2 || bad[0].Check != "lost-sign-outs" || !strings.Contains(bad[0].What, "Nobody looks") || bad[1].Check != "rules" {
		t.Errorf("%+v", bad)
	}
}

// What was not looked at is unknown: nothing is ok by being left out (S1.10).
func TestNothingKnownIsNeverOK(t *testing.T) {
	t.Parallel()
	all := doctor.Check(doctor.Facts{Account: &doctor.Account{}, Clusters: []doctor.Cluster{{}}, Domains: []doctor.Domain{{}}})
	for _, f := range all {
		if f.Result != finding.Unknown || f.Fix == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(all) < 20 || finding.Worst(all) != finding.Unknown {
		t.Errorf("%d findings", len(all))
	}
}

// S6.3: a job's network is judged by package network's rules, and by whether other
// services are reached.
func TestS6_3JobNetwork(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	f.Jobs[0].InVPC, f.Jobs[0].Network = true, network.Job{Subnets: []string{"subnet-1"}, Groups: []string{"sg-1"}, Instances: 1}
	f.Jobs[0].Net = network.Facts{
		Subnets: []network.Subnet{{ID: "subnet-1", VPC: "vpc-1", Free: 20}}, Groups: []network.Group{{ID: "sg-1", VPC: "vpc-1", Egress: []network.Rule{{Protocol: "-1", CIDRs: []string{"0.0.0.0/0"}}}}},
		VPCs:      []network.VPC{{ID: "vpc-1", DNSSupport: true, DNSHostname: true}},
		Tables:    []network.Table{{ID: "rtb-1", VPC: "vpc-1", Main: true, Routes: []network.Route{{To: "pl-1", Target: "vpce-1"}, {To: "0.0.0.0/0", Target: "nat-1"}}}},
		Endpoints: []network.Endpoint{{ID: "vpce-1", VPC: "vpc-1", Service: "com.amazonaws.us-east-1.s3", Gateway: true, Available: true}},
		ACLs:      []network.ACL{{ID: "acl-1", Subnets: []string{"subnet-1"}, Rules: []network.ACLRule{{Egress: true, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}, {Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}}}},
	}
	if bad := notOK(doctor.Check(*f)); len(bad) > 0 {
		t.Fatalf("%+v", bad)
	}
	f.Jobs[0].Net.Tables[0].Routes = f.Jobs[0].Net.Tables[0].Routes[:1]
	if bad := notOK(doctor.Check(*f)); len(bad) != 1 || bad[0].Check != "other-services" || bad[0].Result != finding.Warning || !strings.Contains(bad[0].What, "logs, monitoring, sagemaker.api, sts") {
		t.Errorf("without a way out: %+v", bad)
	}
	f.Jobs[0].Net.Subnets[0].Free = 1
	if bad := notOK(doctor.Check(*f)); len(bad) != 2 || bad[0].Check != "free-addresses" || bad[0].Where != "job churn, subnet-1" {
		t.Errorf("without addresses: %+v", bad)
	}
	f.Jobs[0].Net = network.Facts{}
	for _, b := range notOK(doctor.Check(*f)) {
		if b.Result != finding.Unknown {
			t.Errorf("unread: %+v", b)
		}
	}
}

// Trust policies as people write them.
func TestTrusts(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::123456789012:role/path/nodes"
	for _, c := range []struct {
		name, policy string
		want         session.Tri
	}{
		{"by name", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:SetContext"}]}`, session.On},
		{"by account", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root"]},"Action":["sts:*"]}]}`, session.On},
		{"by anybody", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`, session.On},
		{"by case", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"STS:setcontext"}}`, session.On},
		{"another account", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"sts:*"}}`, session.Off},
		{"another action", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:AssumeRole"}}`, session.Off},
		{"denied", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:*"},{"Effect":"Deny","Principal":"*","Action":"sts:SetContext"}]}`, session.Off},
		{"denied first", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:SetContext"},{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, session.Off},
		{"denied to others' accounts", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"aws:SourceAccount":"1"}}},{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, session.Unknown},
		{"denied but to some", `{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:role/x"},"Action":"sts:*"},{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, session.Unknown},
		{"denied but for some", `{"Statement":[{"Effect":"Deny","Principal":"*","NotAction":"sts:AssumeRole"},{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, session.Unknown},
		{"denied by a condition", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, session.Unknown},
		{"allowed by one of two", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"sts:ExternalId":"x"}}},{"Effect":"Allow","Principal":"*","Action":"sts:*"}]}`, session.On},
		{"allowed to the own account", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"},"ArnLike":{"AWS:SourceArn":"arn:*"}}}}`, session.On},
		{"nobody", `{"Statement":{"Effect":"Allow","Action":"sts:*"}}`, session.Off},
		{"no JSON", `Statement`, session.Unknown},
	} {
		if got := doctor.Trusts(c.policy, role, "sts:SetContext"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The permissions are of reading only, and each rule says what it needs.
func TestActionsOnlyRead(t *testing.T) {
	t.Parallel()
	actions := doctor.Actions()
	for _, a := range actions {
		service, name, _ := strings.Cut(a, ":")
		reads := slices.ContainsFunc([]string{"Get", "List", "Describe", "Lookup"}, func(p string) bool { return strings.HasPrefix(name, p) })
		if service == "" || !reads || strings.Contains(a, "*") {
			t.Errorf("%s is not of reading", a)
		}
	}
	if len(actions) < 20 {
		t.Errorf("%d actions", len(actions))
	}
	for _, r := range doctor.Rows() {
		if r.Says == "" || r.About == "" {
			t.Errorf("%+v", r)
		}
	}
}
