package main_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// S6.1: private subnets, each with a table of its own association that leads to
// S3; nothing there has a public address.
func TestS6_1Subnets(t *testing.T) {
	x := full(t)
	vpc := x.of(t, "AWS::EC2::VPC")[0].Properties
	if vpc["EnableDnsSupport"] != true || vpc["EnableDnsHostnames"] != true || vpc["CidrBlock"] != "10.64.0.0/16" {
		t.Errorf("S6.2 S3's names must resolve: %v", vpc)
	}
	tables := map[string]string{} // by subnet
	for _, a := range x.of(t, "AWS::EC2::SubnetRouteTableAssociation") {
		tables[x.ref2(a.Properties["SubnetId"])] = x.ref2(a.Properties["RouteTableId"])
	}
	whole, private := netip.MustParsePrefix("10.64.0.0/16"), 0
	var taken []netip.Prefix
	for _, s := range x.of(t, "AWS::EC2::Subnet") {
		p, err := netip.ParsePrefix(s.Properties["CidrBlock"].(string))
		if err != nil || !whole.Contains(p.Addr()) || p.Bits() != 18 || slices.ContainsFunc(taken, p.Overlaps) || s.Properties["MapPublicIpOnLaunch"] != false {
			t.Errorf("%s: %v, %v", s.id, s.Properties, err)
		}
		taken = append(taken, p)
		if tables[s.id] == "VpcPrivateTable" {
			private++
		}
	}
	if private != 3 || len(taken) != 4 {
		t.Errorf("%d private subnets of %d", private, len(taken))
	}
	for _, e := range x.of(t, "AWS::EC2::VPCEndpoint") {
		gateway := e.Properties["VpcEndpointType"] == "Gateway"
		if gateway && x.ref2(many(e.Properties["RouteTableIds"])[0]) != "VpcPrivateTable" {
			t.Errorf("%s is not in the table of the private subnets", e.id)
		}
		if !gateway && (e.Properties["PrivateDnsEnabled"] != true || len(many(e.Properties["SubnetIds"])) != 3 || x.ref2(many(e.Properties["SecurityGroupIds"])[0]) != "VpcEndpoints") {
			t.Errorf("%s: %v", e.id, e.Properties)
		}
	}
	for _, r := range x.Resources {
		if r.Type == "AWS::EC2::NetworkAcl" {
			t.Error("S6.3 a network ACL of our own could undo what the groups allow")
		}
	}
}

// ref2 is the id of the resource that a value names.
func (x template) ref2(v any) string {
	if pair, ok := at(v, "Fn::GetAtt").([]any); ok {
		return pair[0].(string)
	}
	id, _ := at(v, "Ref").(string)
	return id
}

// S6.2: one policy, which allows, and denies the repositories; with named buckets
// it leads to those and the VPC's own.
func TestS6_2EndpointPolicy(t *testing.T) {
	x := full(t)
	statements := map[string]string{}
	for _, s := range many(at(x.Resources["VpcS3"].Properties, "PolicyDocument", "Statement")) {
		statements[at(s, "Sid").(string)] = fmt.Sprint(at(s, "Effect"), " ", at(s, "Action"), " ", x.flats(at(s, "Resource")))
	}
	want := map[string]string{
		"AllowS3":                         "Allow s3:* [VpcBucket.Arn VpcBucket.Arn/* arn:aws:s3:::research-data arn:aws:s3:::research-data/*]",
		"AmazonLinuxAMIRepositoryAccess":  "Deny s3:GetObject [arn:aws:s3:::packages.*.amazonaws.com/* arn:aws:s3:::repo.*.amazonaws.com/*]",
		"AmazonLinux2AMIRepositoryAccess": "Deny s3:GetObject [arn:aws:s3:::amazonlinux.*.amazonaws.com/* arn:aws:s3:::amazonlinux-2-repos-*/*]",
		"AmazonLinux2023RepositoryAccess": "Deny s3:GetObject [arn:aws:s3:::al2023-repos-*/*]",
	}
	if fmt.Sprint(statements) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", statements, want)
	}
	denied := ""
	for _, s := range many(at(x.Resources["VpcBucketPolicy"].Properties, "PolicyDocument", "Statement")) {
		if at(s, "Sid") == "OnlyThisVpc" {
			denied = fmt.Sprint(at(s, "Effect"), at(s, "Principal"), x.ref2(at(s, "Condition", "StringNotEquals", "aws:SourceVpce")), len(many(at(s, "Action"))))
		}
	}
	if denied != "Deny*VpcS37" {
		t.Errorf("the bucket admits others than the endpoint: %s", denied)
	}
}

// S6.3: the group admits its own members on everything and lets out what a job
// needs; what flows is logged; NAT is there because it was asked for.
func TestS6_3GroupsAndLogs(t *testing.T) {
	x := full(t)
	for id, peer := range map[string]string{"VpcJobsFromThemselves": "SourceSecurityGroupId", "VpcJobsToThemselves": "DestinationSecurityGroupId"} {
		p := x.Resources[id].Properties
		if x.ref2(p["GroupId"]) != "VpcJobs" || x.ref2(p[peer]) != "VpcJobs" || p["IpProtocol"] != "-1" {
			t.Errorf("%s: %v", id, p)
		}
	}
	out := many(x.Resources["VpcJobs"].Properties["SecurityGroupEgress"])
	if len(out) != 1 || at(out[0], "FromPort") != 443.0 || at(out[0], "ToPort") != 443.0 || x.Resources["VpcJobs"].Properties["SecurityGroupIngress"] != nil {
		t.Errorf("%v", x.Resources["VpcJobs"].Properties)
	}
	in := many(x.Resources["VpcEndpoints"].Properties["SecurityGroupIngress"])
	if len(in) != 1 || at(in[0], "CidrIp") != "10.64.0.0/16" {
		t.Errorf("the endpoints are reached from %v", in)
	}
	flow := x.of(t, "AWS::EC2::FlowLog")[0].Properties
	if x.ref2(flow["ResourceId"]) != "Vpc" || flow["TrafficType"] != "ALL" {
		t.Errorf("%v", flow)
	}
	if n := len(x.of(t, "AWS::EC2::NatGateway")); n != 1 || x.ref2(x.Resources["VpcNatRoute"].Properties["RouteTableId"]) != "VpcPrivateTable" {
		t.Errorf("%d NAT gateways", n)
	}
}

// Nothing of networks, clusters and notebooks is there unless it is asked for.
func TestOptionalPartsAreOff(t *testing.T) {
	for id, r := range bare(t).Resources {
		for _, no := range []string{"AWS::EC2::", "AWS::EMR::", "AWS::S3::", "AWS::IAM::ManagedPolicy", "AWS::IAM::InstanceProfile"} {
			if strings.HasPrefix(r.Type, no) {
				t.Errorf("%s, a %s, is there unasked", id, r.Type)
			}
		}
	}
}

// S7.1: the security configuration is package cluster's, with our role; the
// cluster for trying has one node, its settings, and the script that 7.11 needs.
func TestS7_1Cluster(t *testing.T) {
	x := full(t)
	conf := x.Resources["ClusterSecurity"].Properties["SecurityConfiguration"]
	center := at(conf, "AuthenticationConfiguration", "IdentityCenterConfiguration")
	if at(center, "EnableIdentityCenter") != true || at(center, "EnableUserBackgroundSession") != true || at(center, "IdentityCenterInstanceARN") != "arn:aws:sso:::instance/ssoins-1111222233334444" ||
		at(center, "IdentityCenterApplicationAssigmentRequired") != true || !strings.HasPrefix(x.ref2(at(center, "IAMRoleForEMRIdentityCenterApplicationARN")), "ClusterIdentity") ||
		at(conf, "EncryptionConfiguration", "EnableInTransitEncryption") != true {
		t.Errorf("%v", conf)
	}
	if text, _ := json.Marshal(conf); strings.Contains(string(text), "until-deployed") {
		t.Error("the role is not ours")
	}
	for _, r := range x.of(t, "AWS::IAM::Role") {
		if !strings.HasPrefix(r.id, "ClusterIdentity") {
			continue
		}
		s := many(at(r.Properties, "AssumeRolePolicyDocument", "Statement"))
		if len(s) != 1 || fmt.Sprint(at(s[0], "Action")) != "[sts:AssumeRole sts:SetContext]" || !strings.HasPrefix(x.ref2(at(s[0], "Principal", "AWS")), "ClusterNodes") {
			t.Errorf("the role trusts %v", s)
		}
	}
	creator := many(at(x.Resources["ClusterCreator"].Properties, "PolicyDocument", "Statement"))
	if len(creator) != 1 || fmt.Sprint(at(creator[0], "Action")) != "[sso:PutApplicationSessionConfiguration]" {
		t.Errorf("%v", creator)
	}
	c := x.Resources["ClusterTry"].Properties
	if at(c, "Instances", "MasterInstanceGroup", "InstanceCount") != 1.0 || at(c, "Instances", "CoreInstanceGroup") != nil || c["ReleaseLabel"] != "emr-7.11.0" ||
		x.ref2(c["SecurityConfiguration"]) != "ClusterSecurity" || at(c, "AutoTerminationPolicy", "IdleTimeout") != 7200.0 ||
		at(many(c["BootstrapActions"])[0], "ScriptBootstrapAction", "Path") != "s3://research-setup/bootstrap/ubs.sh" {
		t.Errorf("%v", c)
	}
	livy := map[string]any{}
	for _, k := range many(c["Configurations"]) {
		if at(k, "Classification") == "livy-conf" {
			livy, _ = at(k, "ConfigurationProperties").(map[string]any)
		}
	}
	if livy["livy.impersonation.enabled"] != "true" || livy["livy.server.session.timeout-check.skip-busy"] != "true" {
		t.Errorf("S5.3 Livy must run jobs as their users, and leave busy ones alone: %v", livy)
	}
}

// S5.2: the policies are package notebook's, of this account; its own tests say
// what they allow.
func TestS5_2NotebookPolicies(t *testing.T) {
	x := full(t)
	for id, parts := range map[string][]string{
		"OwnNotebooks":        {`"elasticmapreduce:ResourceTag/creatorUserId":["${aws:userid}"]`, `"Sid":"OwnerStays"`},
		"NotebookDepartments": {`"elasticmapreduce:ResourceTag/cost-center":["${aws:PrincipalTag/department}"]`, `"Sid":"NoOtherCluster"`},
	} {
		text, err := json.Marshal(x.Resources[id].Properties["PolicyDocument"])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(parts, `{"Ref":"AWS::AccountId"}`) {
			if !strings.Contains(string(text), p) {
				t.Errorf("%s has no %s: %.600s", id, p, text)
			}
		}
		if len(text) > 6144*2 {
			t.Errorf("%s is too long for a managed policy", id)
		}
	}
}
