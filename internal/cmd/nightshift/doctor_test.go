package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/doctor"
	"nightshift/internal/doctor/account/accountsim"
	"nightshift/internal/finding"
	"nightshift/internal/local"
	"nightshift/internal/network"
)

const livyCluster = "j-2AXXXXXXGAPLF"

// vpcJob is an input of run: a processing job of two instances in the simulated VPC.
var vpcJob = `{"user": "u-ana", "engine": "sagemaker-processing", "endpoint": "` + local.SageMaker + `", "checkpoint": "s3://nightshift-demo/prepare/", "spec": {"ProcessingJobName": "prepare",
	"RoleArn": "arn:aws:iam::123456789012:role/processing", "StoppingCondition": {"MaxRuntimeInSeconds": 7200},
	"ProcessingResources": {"ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}},
	"NetworkConfig": {"VpcConfig": {"Subnets": ["` + strings.Join(local.Subnets, `", "`) + `"], "SecurityGroupIds": ["` + local.SecurityGroup + `"]}}}}`

// hospital is a town in which everything is in order, but for what Defaults leaves
// off, which is mended first.
type hospital struct {
	*town
	good accountsim.World
	file string
}

func newHospital(t *testing.T) *hospital {
	t.Helper()
	h := &hospital{town: newTown(t)}
	h.pass(20 * time.Minute)
	h.s.Cloud.Change(func(w *accountsim.World) {
		for arn := range w.Applications {
			w.Applications[arn] = "ENABLED"
		}
		for id, c := range w.Clusters {
			c.ReleaseLabel = "emr-7.12.0"
			w.Clusters[id] = c
		}
		for _, env := range w.Functions {
			env["NIGHTSHIFT_ENDPOINTS"] = strings.ReplaceAll(env["NIGHTSHIFT_ENDPOINTS"], "emr-7.9.0", "emr-7.12.0")
		}
		h.good = copied(t, *w)
	})
	h.file = filepath.Join(t.TempDir(), "prepare.json")
	if err := os.WriteFile(h.file, []byte(vpcJob), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// copied is a world of its own.
func copied(t *testing.T, w accountsim.World) (out accountsim.World) {
	t.Helper()
	text, err := json.Marshal(w)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// heal puts the world in order again.
func (h *hospital) heal() {
	h.t.Helper()
	h.s.Cloud.Change(func(w *accountsim.World) { *w = copied(h.t, h.good) })
	h.s.EC2.Change(func(f *network.Facts) { *f = local.Network() })
}

// examines runs the doctor and gives its findings that are not ok, but for the one
// that never is, and its exit status.
func (h *hospital) examines(args string) ([]finding.Finding, int) {
	h.t.Helper()
	out, said, status := h.runs(append(fields("doctor "+args), "--json", "--local="+h.url)...)
	var got struct {
		Result   finding.Result
		Findings []finding.Finding
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Result != finding.Worst(got.Findings) || len(got.Findings) < 15 {
		h.t.Fatalf("doctor %s: %v, status %d: %s%s", args, err, status, out, said)
	}
	return slices.DeleteFunc(got.Findings, func(f finding.Finding) bool {
		return f.Result == finding.OK || f.Check == "role-chaining" || f.Check == "other-services"
	}), status
}

// S7.2: what the doctor says of a local system as it comes up, for people.
func TestS7_2DoctorGolden(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.pass(20 * time.Minute)
	file := filepath.Join(t.TempDir(), "change.json")
	if err := os.WriteFile(file, []byte(vpcJob), 0o600); err != nil {
		t.Fatal(err)
	}
	w.tells("doctor")
	w.tells("doctor --cluster j-none --domain d-none --instance-background off --scim-token none --identity-store d-0000000000")
	w.tells("doctor --job " + file)
	w.tells("doctor --job no-such-file.json")
	w.tells("doctor --bootstrap maybe")
	w.tells("doctor --scim-token yesterday")
	w.tells("doctor --instance-background maybe")
	w.tells("doctor --as u-ana")
	w.tells("doctor all")
	w.tells("doctor --rules")
	w.tells("doctor --permissions")
	w.golden("doctor")
}

// S7.2: each fault is found when it is planted in the account: its finding, how
// bad it is, how to mend it, and the exit status.
func TestS7_2DoctorFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	if bad, status := h.examines(""); len(bad) > 0 || status != exitOK {
		t.Fatalf("in order, and yet: %d %+v", status, bad)
	}
	if bad, status := h.examines("--job " + h.file); len(bad) > 0 || status != exitOK {
		t.Fatalf("the job is in order, and yet: %d %+v", status, bad)
	}
	type world = accountsim.World
	cluster := func(change func(*accountsim.Cluster)) func(*world) {
		return func(w *world) {
			c := w.Clusters[livyCluster]
			change(&c)
			w.Clusters[livyCluster] = c
		}
	}
	domain := func(change func(*accountsim.Domain)) func(*world) {
		return func(w *world) {
			d := w.Domains[local.Domain]
			change(&d)
			w.Domains[local.Domain] = d
		}
	}
	rule := func(name string, change func(*accountsim.Rule)) func(*world) {
		return func(w *world) {
			r := w.Rules[name]
			change(&r)
			w.Rules[name] = r
		}
	}
	document := func(from, to string) func(*world) {
		return func(w *world) {
			w.Security["identity-center"] = mustReplace(t, w.Security["identity-center"], from, to)
		}
	}
	told := func(from, to string) func(*world) {
		return func(w *world) {
			env := w.Functions["nightshift-on-schedule"]
			env["NIGHTSHIFT_ENDPOINTS"] = mustReplace(t, env["NIGHTSHIFT_ENDPOINTS"], from, to)
		}
	}
	env := func(name, value string) func(*world) {
		return func(w *world) { w.Functions["nightshift-on-schedule"][name] = value }
	}
	one, job := "--cluster "+livyCluster, "--job "+h.file
	net := func(change func(*network.Facts)) func(*world) {
		return func(*world) { h.s.EC2.Change(change) }
	}
	for _, c := range []struct {
		name, args string
		plant      func(*world)
		check      string
		result     finding.Result
		fix        string
		more       int // other findings that follow from it
	}{
		{"Identity Center in another Region", one, func(w *world) { w.HomeRegion = "eu-west-1" }, "identity-center", finding.Failure, "--identity-region", 0},
		{"instance being deleted", one, func(w *world) { w.Instances[0].Status = "DELETE_IN_PROGRESS" }, "identity-center", finding.Failure, "console", 0},
		{"another directory", one, func(w *world) { w.Instances[0].IdentityStoreId = "d-9999999999" }, "identity-center", finding.Failure, "identityStoreId", 0},
		{"directory not there", one, func(w *world) { w.Stores = nil }, "lost-users", finding.Unknown, "--permissions", 0},
		{"application off", "--domain " + local.Domain, func(w *world) { w.Applications[w.Domains[local.Domain].Application] = "DISABLED" }, "application-background", finding.Failure, "put-application-session-configuration", 1},
		{"application not there", "--domain " + local.Domain, func(w *world) { delete(w.Applications, w.Domains[local.Domain].Application) }, "application-background", finding.Unknown, "--permissions", 1},
		{"application unnamed", one, told(`"applicationArn":"arn:aws:sso::123456789012:application/ssoins-1234567890abcdef/apl-studio0000000001",`, ""), "application-background", finding.Unknown, "applicationArn", 0},
		{"trail gone", one, func(w *world) { w.Trails = nil }, "trail", finding.Failure, "Make a trail", 0},
		{"trail stopped", one, func(w *world) { w.Trails[0].IsLogging = false }, "trail", finding.Failure, "Make a trail", 0},
		{"trail of one other Region", one, func(w *world) { w.Trails[0].IsMultiRegionTrail, w.Trails[0].HomeRegion = false, "eu-west-1" }, "trail", finding.Failure, "all Regions", 0},
		{"trail of data events", one, func(w *world) { w.Trails[0].ReadWriteType = "" }, "trail", finding.Failure, "Read and Write", 0},
		{"trail of writes", one, func(w *world) { w.Trails[0].ReadWriteType = "WriteOnly" }, "trail", finding.Failure, "Read and Write", 0},
		{"trail with advanced selectors of writes", one, func(w *world) {
			w.Trails[0].Advanced = []map[string]any{{"FieldSelectors": []map[string]any{{"Field": "eventCategory", "Equals": []string{"Management"}}, {"Field": "readOnly", "Equals": []string{"false"}}}}}
		}, "trail", finding.Failure, "Read and Write", 0},
		{"delivery fails", one, func(w *world) { w.Trails[0].LatestDeliveryError = "AccessDenied" }, "trail", finding.Warning, "bucket", 0},
		{"rule gone", one, func(w *world) { delete(w.Rules, "default/nightshift-identity") }, "rules", finding.Failure, "Deploy again", 0},
		{"rule off", one, rule("nightshift/nightshift-own-sign-out", func(r *accountsim.Rule) { r.State = "DISABLED" }), "rules", finding.Failure, "enable-rule", 0},
		{"sign-out rule blind to reading", one, rule("default/nightshift-sign-out", func(r *accountsim.Rule) { r.State = "ENABLED" }), "rules", finding.Failure, "Deploy again", 0},
		{"rule changed", one, rule("default/nightshift-births", func(r *accountsim.Rule) { r.Pattern = `{"source":["x"]}` }), "rules", finding.Warning, "Deploy again", 0},
		{"rule without target", one, rule("default/nightshift-run-states", func(r *accountsim.Rule) { r.Targets = 0 }), "rules", finding.Failure, "Deploy again", 0},
		{"no sweep, no session source", one, func(w *world) {
			delete(w.Rules, "default/nightshift-schedule")
			delete(w.Functions["nightshift-on-schedule"], "NIGHTSHIFT_SESSIONS_URL")
		}, "lost-sign-outs", finding.Failure, "schedule", 1},
		{"token expired", one, func(w *world) { w.Events[1].EventTime -= 400 * 24 * 3600 }, "scim-token", finding.Failure, "generate a new token", 0},
		{"token expires", one, func(w *world) { w.Events[1].EventTime -= 250 * 24 * 3600 }, "scim-token", finding.Warning, "generate a new token", 0},
		{"token's making not seen", one, func(w *world) { w.Events = w.Events[:1] }, "scim-token", finding.Unknown, "--scim-token", 0},
		{"token said to be old", one + " --scim-token 2024-03-01", func(*world) {}, "scim-token", finding.Failure, "generate a new token", 0},
		{"settings broken", one, env("NIGHTSHIFT_TABLE", "x"), "settings", finding.Failure, "deploy again", 0},
		{"no endpoints", "--domain " + local.Domain, env("NIGHTSHIFT_ENDPOINTS", "[]"), "settings", finding.Failure, "endpoints", 1},
		{"little Lambda", one, func(w *world) { w.Concurrency = 10 }, "lambda-concurrency", finding.Failure, "Service Quotas", 0},
		{"level 1 off", one + " --instance-background off", func(*world) {}, "instance-background", finding.Failure, "--instance-background on", 0},

		{"cluster over", one, cluster(func(c *accountsim.Cluster) { c.State = "TERMINATED_WITH_ERRORS" }), "cluster-state", finding.Failure, "infra/README.md", 0},
		{"release", one, cluster(func(c *accountsim.Cluster) { c.ReleaseLabel = "emr-7.10.0" }), "release", finding.Failure, "emr-7.12.0", 1},
		{"7.11 without its bootstrap action", one, cluster(func(c *accountsim.Cluster) { c.ReleaseLabel = "emr-7.11.0" }), "release", finding.Failure, "bootstrap action that AWS Support gives", 1},
		{"7.11 with some bootstrap action", one, cluster(func(c *accountsim.Cluster) { c.ReleaseLabel, c.Bootstraps = "emr-7.11.0", []string{"setup"} }), "release", finding.Unknown, "bootstrap", 1},
		{"several primary nodes", one, cluster(func(c *accountsim.Cluster) { c.Masters = 3 }), "primary-nodes", finding.Failure, "one primary node", 0},
		{"several primary nodes of a fleet", one, cluster(func(c *accountsim.Cluster) { c.Masters, c.Fleet = 3, true }), "primary-nodes", finding.Failure, "one primary node", 0},
		{"Livy not as its users", one, cluster(classified("livy.impersonation.enabled", "false")), "impersonation", finding.Warning, "cluster render", 0},
		{"Livy ends busy sessions", one, cluster(classified("livy.server.session.timeout-check.skip-busy", "false")), "skip-busy", finding.Warning, "cluster render", 0},
		{"Livy times out first", one, cluster(classified("livy.server.session.timeout", "1h")), "livy-timeout", finding.Failure, "cluster render", 0},
		{"Livy's timeout not set", one, cluster(classified("livy.server.session.timeout", "")), "livy-timeout", finding.Warning, "cluster render", 0},
		{"no security configuration", one, cluster(func(c *accountsim.Cluster) { c.SecurityConfiguration = "" }), "identity-center", finding.Failure, "EnableIdentityCenter", 7},
		{"security configuration not there", one, cluster(func(c *accountsim.Cluster) { c.SecurityConfiguration = "gone" }), "security-configuration", finding.Unknown, "--permissions", 2},
		{"level 3 off", one, document(`"EnableUserBackgroundSession": true`, `"EnableUserBackgroundSession": false`), "background-sessions", finding.Failure, "EnableUserBackgroundSession", 1},
		{"no encryption in transit", one, document(`"EnableInTransitEncryption": true`, `"EnableInTransitEncryption": false`), "in-transit-encryption", finding.Failure, "certificates", 0},
		{"no Lake Formation", one, document(`"AuthorizedSessionTagValue"`, `"Other"`), "data-authorization", finding.Failure, "S3AccessGrantsConfiguration", 0},
		{"no runtime roles", one, document(`"EnableApplicationScopedIAMRole": true`, `"EnableApplicationScopedIAMRole": false`), "runtime-roles", finding.Failure, "EnableApplicationScopedIAMRole", 0},
		{"trust without context", one, func(w *world) {
			w.Roles["emr-identity-center"] = mustReplace(t, w.Roles["emr-identity-center"], "sts:SetContext", "sts:TagSession")
		}, "identity-role-trust", finding.Failure, "sts:SetContext", 0},
		{"role gone", one, func(w *world) { delete(w.Roles, "emr-identity-center") }, "identity-role-trust", finding.Unknown, "--permissions", 0},
		{"profile gone", one, func(w *world) { w.Profiles = nil }, "identity-role-trust", finding.Unknown, "--permissions", 0},
		{"told another release", one, told(`"emr-7.12.0"`, `"emr-7.11.0"`), "cluster-said", finding.Failure, "deploy again", 0},

		{"domain failed", "--domain " + local.Domain, domain(func(d *accountsim.Domain) { d.Status = "Failed" }), "domain-status", finding.Failure, "describe-domain", 0},
		{"domain of IAM", "--domain " + local.Domain, domain(func(d *accountsim.Domain) { d.AuthMode = "IAM" }), "domain-auth", finding.Failure, "AuthMode SSO", 0},
		{"propagation off", "--domain " + local.Domain, domain(func(d *accountsim.Domain) { d.Propagation = "DISABLED" }), "identity-propagation", finding.Failure, "update-domain", 0},
		{"propagation of a kind that nobody knows", "--domain " + local.Domain, domain(func(d *accountsim.Domain) { d.Propagation = "PARTLY" }), "identity-propagation", finding.Unknown, "describe-domain", 0},
		{"propagation never set", "--domain " + local.Domain, domain(func(d *accountsim.Domain) { d.Propagation = "" }), "identity-propagation", finding.Failure, "update-domain", 0},
		{"two Regions", "--domain " + local.Domain, func(w *world) { w.HomeRegion = "eu-west-1" }, "domain-region", finding.Failure, "Identity Center's Region", 1},
		{"execution role", "--domain " + local.Domain, func(w *world) {
			w.Roles["studio"] = mustReplace(t, w.Roles["studio"], "sts:SetContext", "sts:TagSession")
		}, "execution-role-trust", finding.Failure, "sts:SetContext", 0},
		{"remote access", "--domain " + local.Domain, domain(func(d *accountsim.Domain) {
			d.Remote = map[string]string{"ana": "DISABLED", "ben": "DISABLED", "cleo": "ENABLED"}
		}), "remote-access", finding.Failure, "RemoteAccess=DISABLED", 0},

		{"job's role", job, func(w *world) { delete(w.Roles, "processing") }, "execution-role-trust", finding.Unknown, "--permissions", 0},
		{"quota", job, func(w *world) { w.Quotas[0].Value = 1 }, "instance-quota", finding.Failure, "Service Quotas", 0},
		{"quota not there", job, func(w *world) { w.Quotas = w.Quotas[1:] }, "instance-quota", finding.Unknown, "--permissions", 0},
		{"no free addresses", job, net(func(f *network.Facts) { f.Subnets[0].Free, f.Subnets[1].Free = 1, 2 }), "free-addresses", finding.Failure, "Add a subnet", 0},
		{"no subnet", job, net(func(f *network.Facts) { f.Subnets = f.Subnets[1:] }), "subnet-exists", finding.Failure, "exists", 0},
		{"no way to S3", job, net(func(f *network.Facts) { f.Endpoints = nil }), "s3-route", finding.Failure, "com.amazonaws.<region>.s3", 1},
		{"names do not resolve", job, net(func(f *network.Facts) { f.VPCs[0].DNSSupport = false }), "dns", finding.Failure, "enableDnsSupport", 0},
		{"the group keeps its own out", job, net(func(f *network.Facts) { f.Groups[0].Ingress = nil }), "group-admits-itself", finding.Failure, "inbound rule", 0},
	} {
		h.heal()
		h.s.Cloud.Change(c.plant)
		bad, status := h.examines(c.args)
		found := slices.DeleteFunc(slices.Clone(bad), func(f finding.Finding) bool { return f.Check != c.check })
		want := map[finding.Result]int{finding.Warning: exitOK, finding.Unknown: exitUnknown, finding.Failure: exitFailure}[finding.Worst(bad)]
		if len(found) == 0 || len(bad) != 1+c.more || found[0].Result != c.result || !strings.Contains(found[0].Fix, c.fix) || status != want {
			t.Errorf("%s: status %d, %d findings: %+v\nwant %s %s and %d more, fix %q", c.name, status, len(bad), bad, c.result, c.check, c.more, c.fix)
		}
	}
}

// classified changes a property of Livy's configuration; "" takes it away.
func classified(key, value string) func(*accountsim.Cluster) {
	return func(c *accountsim.Cluster) {
		properties := c.Configurations[1]["Properties"].(map[string]any)
		if properties[key] = value; value == "" {
			delete(properties, key)
		}
	}
}

func mustReplace(t *testing.T, text, from, to string) string {
	t.Helper()
	if !strings.Contains(text, from) {
		t.Fatalf("%s is not in %s", from, text)
	}
	return strings.Replace(text, from, to, 1)
}

// What may not be read is unknown, with the permission that is missing, and never
// ok: for each permission of the policy that the doctor prints, which is all that
// it uses.
func TestS7_2DoctorIsDenied(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.examines("")
	h.examines("--job " + h.file)
	used := h.s.Cloud.Called()
	for _, name := range []string{"DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcAttribute", "DescribeRouteTables", "DescribeVpcEndpoints", "DescribeNetworkAcls"} {
		used["ec2:"+name] = h.s.EC2.Calls(name)
	}
	for action, n := range used {
		if !slices.Contains(doctor.Actions(), action) {
			t.Errorf("%s is used, and not in the policy", action)
		}
		if n == 0 {
			t.Errorf("%s was never used", action)
		}
	}
	for _, action := range doctor.Actions() {
		if action == "emr-containers:DescribeVirtualCluster" {
			continue // of another kind of job: TestS7_2DoctorOfOtherJobs
		}
		if used[action] == 0 {
			t.Errorf("%s is in the policy, and not used", action)
		}
		refuse := h.s.Cloud.Refuse
		name, isEC2 := strings.CutPrefix(action, "ec2:")
		if isEC2 {
			refuse, action = h.s.EC2.Refuse, name
		}
		for _, code := range []string{"AccessDeniedException", "InternalFailure"} {
			refuse(action, http.StatusForbidden, code)
			bad, status := h.examines("")
			if isEC2 || action == "servicequotas:ListServiceQuotas" {
				bad, status = h.examines("--job " + h.file)
			}
			refuse(action, 0, "")
			worst := finding.Worst(bad)
			said := slices.ContainsFunc(bad, func(f finding.Finding) bool {
				return strings.Contains(f.What, "elasticmapreduce:") || strings.Contains(f.What, action)
			})
			if slices.Contains([]string{"elasticmapreduce:ListInstances", "elasticmapreduce:ListBootstrapActions"}, action) {
				// They are one fact of many, which has words of its own; of the second, only with
				// exactly 7.11.
				said = true
				if action == "elasticmapreduce:ListBootstrapActions" {
					worst, status = finding.Unknown, exitUnknown
				}
			}
			if worst != finding.Unknown || status != exitUnknown || !said && !isEC2 {
				t.Errorf("without %s (%s): status %d: %+v", action, code, status, bad)
			}
		}
	}
}

// S4.3: a job run is judged by its virtual cluster; a Livy session and a notebook by
// their cluster.
func TestS7_2DoctorOfOtherJobs(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	for _, c := range []struct {
		input, check string
		result       finding.Result
	}{
		{`{"user": "u-ana", "engine": "emr-containers", "endpoint": "` + local.EMROnEKS + `", "checkpoint": "s3://b/c/", "spec": {"virtualClusterId": "` + local.VirtualCluster + `"}}`, "virtual-cluster", finding.OK},
		{`{"user": "u-ana", "engine": "emr-containers", "endpoint": "` + local.EMROnEKS + `", "checkpoint": "s3://b/c/", "spec": {"virtualClusterId": "vcnone"}}`, "virtual-cluster", finding.Failure},
		{`{"user": "u-ana", "engine": "livy", "endpoint": "` + local.Livy + `", "checkpoint": "s3://b/c/", "spec": {"kind": "pyspark"}}`, "cluster-state", finding.OK},
		{`{"user": "u-ana", "engine": "livy", "endpoint": "` + local.Livy + `", "spec": {"kind": "pyspark"}}`, "checkpoint", finding.Warning},
		{`{"user": "u-ana", "engine": "emr-notebook", "endpoint": "` + local.EMRNotebook + `", "checkpoint": "s3://b/c/", "spec": {"ExecutionEngine": {"Id": "` + livyCluster + `"}}}`, "cluster-state", finding.OK},
		{`{"user": "u-ana", "engine": "sagemaker-pipeline", "endpoint": "` + local.SageMaker + `", "spec": {"PipelineName": "Churn"}}`, "checkpoint", finding.OK},
		{`{"user": "u-ana", "engine": "sagemaker-training", "endpoint": "` + local.SageMaker + `", "spec": {"RoleArn": "arn:aws:iam::123456789012:role/training", "ResourceConfig": {"InstanceCount": 9, "InstanceType": "ml.g5.xlarge"}}}`, "instance-quota", finding.Failure},
		{`{"user": "u-ana", "engine": "sagemaker-training", "endpoint": "` + local.SageMaker + `", "spec": {"RoleArn": 7}}`, "request", finding.Failure},
	} {
		if err := os.WriteFile(h.file, []byte(c.input), 0o600); err != nil {
			t.Fatal(err)
		}
		out, said, _ := h.runs("doctor", "--job", h.file, "--json", "--local="+h.url)
		var got struct{ Findings []finding.Finding }
		err := json.Unmarshal([]byte(out), &got)
		if !slices.ContainsFunc(got.Findings, func(f finding.Finding) bool { return f.Check == c.check && f.Result == c.result }) || err != nil {
			t.Errorf("%s: no %s is %s: %v %s %+v", c.input, c.check, c.result, err, said, got.Findings)
		}
	}
}

// Nobody answers: all is unknown, with the reason, and the exit status says so.
func TestS7_2DoctorWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	w := &town{t: t}
	out, said, status := w.runs("doctor", "--local=http://127.0.0.1:1", "--cluster", "j-1", "--domain", "d-1", "--json")
	var got struct{ Findings []finding.Finding }
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != exitUnknown || len(got.Findings) < 20 {
		t.Fatalf("%v, status %d: %s%s", err, status, out, said)
	}
	reasons := 0
	for _, f := range got.Findings {
		if f.Result != finding.Unknown || f.Fix == "" {
			t.Errorf("%+v", f)
		}
		if strings.Contains(f.What, "got no answer") || strings.Contains(f.What, "did not say") {
			reasons++
		}
	}
	if reasons < 12 {
		t.Errorf("%d reasons: %s", reasons, fmt.Sprint(got.Findings))
	}
}

// A deployment is read with the credentials and the Region of the AWS CLI, signed;
// Identity Center in its own Region. Nightshift itself does not answer here, and
// what only it knows is unknown.
func TestS7_2DoctorOfADeployment(t *testing.T) {
	h := newHospital(t)
	newAccount(t)
	t.Setenv("AWS_ENDPOINT_URL", h.url)
	run := func(args string) ([]finding.Finding, int) {
		t.Helper()
		out, said, status := h.runs(fields("doctor --json --stack nightshift --region us-east-1 " + args)...)
		var got struct{ Findings []finding.Finding }
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Findings) < 15 {
			t.Fatalf("%v, status %d: %s%s", err, status, out, said)
		}
		return slices.DeleteFunc(got.Findings, func(f finding.Finding) bool { return f.Result == finding.OK }), status
	}
	bad, status := run("--cluster " + livyCluster)
	checks := []string{}
	for _, f := range bad {
		checks = append(checks, f.Check+" "+string(f.Result))
	}
	if want := []string{"instance-background unknown", "capacity unknown", "livy-timeout unknown"}; status != exitUnknown || !slices.Equal(checks, want) {
		t.Errorf("status %d: %+v", status, bad)
	}
	h.s.Cloud.Change(func(w *accountsim.World) { w.HomeRegion = "eu-west-1" })
	if bad, status = run("--cluster " + livyCluster + " --instance-background on"); status != exitFailure || bad[0].Check != "identity-center" {
		t.Errorf("another Region: status %d: %+v", status, bad)
	}
	if bad, status = run("--cluster " + livyCluster + " --instance-background on --identity-region eu-west-1"); status != exitUnknown || bad[0].Check != "capacity" {
		t.Errorf("its own Region: status %d: %+v", status, bad)
	}
	h.s.Cloud.Change(func(w *accountsim.World) { w.Instances[0].OwnerAccountId = "999999999999" })
	bad, _ = run("--cluster " + livyCluster + " --identity-region eu-west-1")
	if !slices.ContainsFunc(bad, func(f finding.Finding) bool {
		return f.Check == "trail" && f.Result == finding.Unknown && strings.Contains(f.What, "999999999999")
	}) {
		t.Errorf("Identity Center in another account: %+v", bad)
	}
	h.s.Cloud.Change(func(w *accountsim.World) { w.Functions = nil })
	bad, _ = run("--cluster " + livyCluster)
	if !slices.ContainsFunc(bad, func(f finding.Finding) bool {
		return f.Check == "settings" && f.Result == finding.Unknown && strings.Contains(f.What, "is a Nightshift of that name deployed")
	}) {
		t.Errorf("no deployment: %+v", bad)
	}
}
