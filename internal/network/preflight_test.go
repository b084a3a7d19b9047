package network

import (
	"testing"

	"nightshift/internal/finding"
)

// sound is a network in which the job can run.
func sound() (Job, Facts) {
	all := Rule{Protocol: "-1", CIDRs: []string{"0.0.0.0/0"}}
	return Job{Name: "prep", Subnets: []string{"subnet-a", "subnet-b"}, Groups: []string{"sg-job"}, Instances: 2}, Facts{
		Subnets: []Subnet{{"subnet-a", "vpc-1", "eu-west-1a", 3, "10.0.1.0/24"}, {"subnet-b", "vpc-1", "eu-west-1b", 3, "10.0.2.0/24"}},
		Groups:  []Group{{ID: "sg-job", VPC: "vpc-1", Ingress: []Rule{{Protocol: "-1", Groups: []string{"sg-job"}}}, Egress: []Rule{all}}},
		VPCs:    []VPC{{"vpc-1", true, true}},
		Tables: []Table{
			{ID: "rtb-main", VPC: "vpc-1", Main: true, Routes: []Route{{To: "pl-s3", Target: "vpce-s3"}}},
			{ID: "rtb-a", VPC: "vpc-1", Subnets: []string{"subnet-a"}, Routes: []Route{{To: "pl-s3", Target: "vpce-s3"}}},
		},
		Endpoints: []Endpoint{{ID: "vpce-s3", VPC: "vpc-1", Service: "com.amazonaws.eu-west-1.s3", Gateway: true, Available: true}},
		ACLs: []ACL{{ID: "acl-1", Subnets: []string{"subnet-a", "subnet-b"}, Rules: []ACLRule{
			{Number: 100, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}, {Number: 100, Egress: true, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}}}},
		Planned: 1,
	}
}

// TestS6Preflight plants one fault at a time; each is found under its name.
func TestS6Preflight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		plant func(*Job, *Facts)
		check string
		want  finding.Result
	}{
		{"S6 all is well", func(*Job, *Facts) {}, "", finding.OK},
		{"S6.1 exactly two addresses an instance, with those planned", func(_ *Job, f *Facts) { f.Subnets[0].Free, f.Subnets[1].Free = 0, 6 }, "", finding.OK},
		{"S6.1 one address too few", func(_ *Job, f *Facts) { f.Subnets[0].Free = 2 }, "free-addresses", finding.Failure},
		{"S6.1 jobs already admitted count", func(_ *Job, f *Facts) { f.Planned = 2 }, "free-addresses", finding.Failure},
		{"S6.1 no subnet given", func(j *Job, _ *Facts) { j.Subnets = nil }, "subnets-given", finding.Failure},
		{"S6.1 17 subnets", func(j *Job, _ *Facts) { j.Subnets = make([]string, 17) }, "subnets-given", finding.Failure},
		{"S6.1 six groups", func(j *Job, _ *Facts) { j.Groups = make([]string, 6) }, "groups-given", finding.Failure},
		{"S6.1 no instance", func(j *Job, _ *Facts) { j.Instances = 0 }, "instances", finding.Failure},
		{"S6.1 no such subnet", func(j *Job, _ *Facts) { j.Subnets[0] = "subnet-x" }, "subnet-exists", finding.Failure},
		{"S6.1 subnets of two VPCs", func(_ *Job, f *Facts) { f.Subnets[1].VPC = "vpc-2" }, "one-vpc", finding.Failure},
		{"S6.3 a group of another VPC", func(_ *Job, f *Facts) { f.Groups[0].VPC = "vpc-2" }, "one-vpc", finding.Failure},
		{"S6.2 the table lacks the route", func(_ *Job, f *Facts) { f.Tables[1].Routes = nil }, "s3-route", finding.Failure},
		{"S6.2 the main table lacks the route", func(_ *Job, f *Facts) { f.Tables[0].Routes = nil }, "s3-route", finding.Failure},
		{"S6.2 no table at all", func(_ *Job, f *Facts) { f.Tables = f.Tables[1:] }, "s3-route", finding.Failure},
		{"S6.2 no endpoint", func(_ *Job, f *Facts) { f.Endpoints = []Endpoint{} }, "s3-route", finding.Failure},
		{"S6.2 an interface endpoint is none", func(_ *Job, f *Facts) { f.Endpoints[0].Gateway = false }, "s3-route", finding.Failure},
		{"S6.2 an endpoint for DynamoDB is none", func(_ *Job, f *Facts) { f.Endpoints[0].Service = "com.amazonaws.eu-west-1.dynamodb" }, "s3-route", finding.Failure},
		{"S6.2 the route leads nowhere", func(_ *Job, f *Facts) { f.Tables[1].Routes[0].Blackhole = true }, "s3-route", finding.Failure},
		{"S6.2 names do not resolve", func(_ *Job, f *Facts) { f.VPCs[0].DNSSupport = false }, "dns", finding.Failure},
		{"S6.2 no host names", func(_ *Job, f *Facts) { f.VPCs[0].DNSHostname = false }, "dns", finding.Failure},
		{"S6.3 no such group", func(j *Job, _ *Facts) { j.Groups[0] = "sg-x" }, "group-exists", finding.Failure},
		{"S6.3 the group does not admit itself", func(_ *Job, f *Facts) { f.Groups[0].Ingress = nil }, "group-admits-itself", finding.Failure},
		{"S6.3 it admits itself on one port", func(_ *Job, f *Facts) {
			f.Groups[0].Ingress = []Rule{{Protocol: "tcp", From: 22, To: 22, Groups: []string{"sg-job"}}}
		}, "group-admits-itself", finding.Failure},
		{"S6.3 a single instance needs no peers", func(j *Job, f *Facts) { j.Instances = 1; f.Groups[0].Ingress = nil }, "", finding.OK},
		{"S6.3 nothing gets out", func(_ *Job, f *Facts) { f.Groups[0].Egress = nil }, "group-lets-out", finding.Failure},
		{"S6.3 only port 80 gets out", func(_ *Job, f *Facts) {
			f.Groups[0].Egress = []Rule{{Protocol: "tcp", From: 80, To: 80, CIDRs: []string{"0.0.0.0/0"}}}
		}, "group-lets-out", finding.Failure},
		{"S6.3 S3's prefix list is enough", func(_ *Job, f *Facts) {
			f.Groups[0].Egress = []Rule{{Protocol: "tcp", From: 443, To: 443, Lists: []string{"pl-s3"}}}
		}, "", finding.OK},
		{"S6.3 the network ACL undoes it", func(_ *Job, f *Facts) { f.ACLs[0].Rules[0].Allow = false }, "network-acl", finding.Failure},
		{"S6.3 the network ACL lets nothing out", func(_ *Job, f *Facts) { f.ACLs[0].Rules = f.ACLs[0].Rules[:1] }, "network-acl", finding.Failure},
		{"S1.10 subnets unread", func(_ *Job, f *Facts) { f.Subnets = nil; f.Failed = map[string]string{"subnets": "denied"} }, "free-addresses", finding.Unknown},
		{"S1.10 tables unread", func(_ *Job, f *Facts) { f.Tables = nil }, "s3-route", finding.Unknown},
		{"S1.10 endpoints unread", func(_ *Job, f *Facts) { f.Endpoints = nil }, "s3-route", finding.Unknown},
		{"S1.10 groups unread", func(_ *Job, f *Facts) { f.Groups = nil }, "group-exists", finding.Unknown},
		{"S1.10 VPCs unread", func(_ *Job, f *Facts) { f.VPCs = nil }, "dns", finding.Unknown},
		{"S1.10 ACLs unread", func(_ *Job, f *Facts) { f.ACLs = nil }, "network-acl", finding.Unknown},
	} {
		j, f := sound()
		c.plant(&j, &f)
		all := Preflight(j, f)
		found := c.check == ""
		for _, x := range all {
			found = found || x.Check == c.check && x.Result == c.want
			if x.What == "" || (x.Fix == "") != (x.Result == finding.OK) {
				t.Errorf("%s: a finding must say what, and how to mend it: %+v", c.name, x)
			}
		}
		if worst := finding.Worst(all); !found || worst != c.want {
			t.Errorf("%s: want %s %s, the worst is %s in %+v", c.name, c.check, c.want, worst, all)
		}
	}
}

// TestS6FaultsAreSaidTogether: several faults are several findings.
func TestS6FaultsAreSaidTogether(t *testing.T) {
	t.Parallel()
	j, f := sound()
	f.Subnets[0].Free, f.Subnets[1].Free, f.VPCs[0].DNSSupport, f.Groups[0].Ingress, f.Endpoints = 0, 0, false, nil, []Endpoint{}
	checks := map[string]bool{}
	for _, x := range Preflight(j, f) {
		if x.Result == finding.Failure {
			checks[x.Check] = true
		}
	}
	for _, want := range []string{"free-addresses", "dns", "group-admits-itself", "s3-route"} {
		if !checks[want] {
			t.Errorf("S6 %s is missing among %v", want, checks)
		}
	}
}

// S1.10, S6.1: where nothing was found, nothing is said to be in one VPC.
func TestS6_1NothingFoundIsNotOneVPC(t *testing.T) {
	t.Parallel()
	for _, plant := range []func(*Job, *Facts){
		func(j *Job, _ *Facts) { j.Subnets, j.Groups = []string{"subnet-x"}, []string{"sg-x"} },
		func(j *Job, _ *Facts) { j.Subnets, j.Groups = nil, nil },
		func(_ *Job, f *Facts) { f.Subnets[0].VPC = "" },
	} {
		j, f := sound()
		plant(&j, &f)
		if got := oneVPC(j, f); got.Result != finding.Unknown || got.Fix == "" {
			t.Errorf("S6.1 %+v", got)
		}
	}
}

// S6.3: a network ACL is read as EC2 reads it: in the order of its rules, the first
// that is about a packet decides; both ways, since it keeps no state; by protocol,
// port and address; and not within a subnet.
func TestS6_3NetworkACLs(t *testing.T) {
	t.Parallel()
	const (
		world, peers = "0.0.0.0/0", "10.0.0.0/16"
	)
	allow := func(number int, egress bool, protocol, cidr string, ports ...int) ACLRule {
		r := ACLRule{Number: number, Egress: egress, Allow: true, Protocol: protocol, CIDR: cidr}
		if len(ports) == 2 {
			r.PortFrom, r.PortTo = ports[0], ports[1]
		}
		return r
	}
	deny := func(number int, egress bool, protocol, cidr string, ports ...int) ACLRule {
		r := allow(number, egress, protocol, cidr, ports...)
		r.Allow = false
		return r
	}
	out, in := allow(100, true, "-1", world), allow(100, false, "-1", world)
	web, back := allow(200, true, "6", world, 443, 443), allow(200, false, "6", world, 1024, 65535)
	for _, c := range []struct {
		name      string
		rules     []ACLRule
		instances int
		want      finding.Result
	}{
		{"all is open", []ACLRule{out, in}, 2, finding.OK},
		{"port 443 and the answers, one instance", []ACLRule{web, back}, 1, finding.OK},
		{"port 443 and the answers, two instances in two subnets", []ACLRule{web, back}, 2, finding.Failure},
		{"and what is within the VPC", []ACLRule{allow(90, true, "-1", peers), allow(90, false, "-1", peers), web, back}, 2, finding.OK},
		{"and within one subnet only", []ACLRule{allow(90, true, "-1", "10.0.1.0/24"), allow(90, false, "-1", "10.0.1.0/24"), web, back}, 2, finding.Failure},
		{"peers denied in", []ACLRule{deny(10, false, "-1", "10.0.2.0/24"), out, in}, 2, finding.Failure},
		{"peers denied out", []ACLRule{deny(10, true, "-1", "10.0.2.0/24"), out, in}, 2, finding.Failure},
		{"peers denied, one instance", []ACLRule{deny(10, false, "-1", "10.0.2.0/24"), out, in}, 1, finding.OK},
		{"a denial that comes too late", []ACLRule{out, in, deny(200, false, "-1", peers)}, 2, finding.OK},
		{"a denial that comes first", []ACLRule{deny(50, true, "6", world, 443, 443), out, in}, 1, finding.Failure},
		{"answers denied", []ACLRule{deny(50, false, "6", world, 1024, 65535), out, in}, 1, finding.Failure},
		{"some answers denied", []ACLRule{deny(50, false, "6", world, 40000, 40000), out, in}, 1, finding.Unknown},
		{"another protocol denied", []ACLRule{deny(50, true, "17", world), deny(50, false, "1", world), out, in}, 2, finding.OK},
		{"remote desktop denied", []ACLRule{deny(50, false, "6", world, 3389, 3389), out, in}, 1, finding.OK},
		{"SSH denied, two instances", []ACLRule{deny(50, false, "6", world, 22, 22), out, in}, 2, finding.Warning},
		{"only half of the world", []ACLRule{allow(100, true, "6", "0.0.0.0/1", 443, 443), in}, 1, finding.Unknown},
		{"both halves of the world", []ACLRule{allow(100, true, "6", "0.0.0.0/1", 443, 443), allow(110, true, "6", "128.0.0.0/1", 1, 65535), in}, 1, finding.OK},
		{"only addresses of one's own", []ACLRule{allow(100, true, "6", "10.0.0.0/8", 443, 443), in}, 1, finding.Failure},
		{"one's own addresses denied", []ACLRule{deny(10, true, "-1", "192.168.0.0/16"), out, in}, 2, finding.OK},
		{"only IPv6", []ACLRule{allow(100, true, "-1", ""), allow(100, false, "-1", "")}, 1, finding.Failure},
		{"no rule", nil, 1, finding.Failure},
	} {
		j, f := sound()
		j.Instances = c.instances
		f.ACLs[0].Rules = c.rules
		for _, x := range acls(j, f) {
			if x.Where == "subnet-a" && (x.Result != c.want || (x.Fix == "") != (c.want == finding.OK)) {
				t.Errorf("S6.3 %s: want %s, got %+v", c.name, c.want, x)
			}
		}
	}
	j, f := sound()
	f.ACLs[0].Rules = []ACLRule{deny(10, false, "-1", "10.0.2.0/24"), out, in}
	if f.Subnets[1].CIDR = ""; acls(j, f)[0].Result != finding.Unknown {
		t.Errorf("S1.10 a subnet whose addresses are not told: %+v", acls(j, f))
	}
	if j.Subnets = j.Subnets[:1]; acls(j, f)[0].Result != finding.OK {
		t.Errorf("S6.3 within a subnet nothing is asked: %+v", acls(j, f))
	}
}

// S6.3: calls of interface endpoints cross the ACLs of two subnets.
func TestS6_3EndpointsBehindNetworkACLs(t *testing.T) {
	t.Parallel()
	open := []ACLRule{{Number: 100, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}, {Number: 100, Egress: true, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}}
	for _, c := range []struct {
		name  string
		plant func(*Facts)
		want  finding.Result
	}{
		{"all is open", func(*Facts) {}, finding.OK},
		{"its subnet lets nothing in", func(f *Facts) { f.ACLs[1].Rules = open[1:] }, finding.Warning},
		{"its subnet lets no answer out", func(f *Facts) { f.ACLs[1].Rules = open[:1] }, finding.Warning},
		{"the job's subnet lets nothing out there", func(f *Facts) {
			f.ACLs[0].Rules = append([]ACLRule{{Number: 1, Egress: true, Protocol: "6", CIDR: "10.0.9.0/24", PortFrom: 443, PortTo: 443}}, open...)
		}, finding.Warning},
		{"it is not available yet", func(f *Facts) { f.ACLs[1].Rules = nil; f.Endpoints[1].Available = false }, finding.OK},
		{"it is in the job's own subnets", func(f *Facts) { f.ACLs[1].Rules = nil; f.Endpoints[1].Subnets = []string{"subnet-a"} }, finding.OK},
	} {
		j, f := sound()
		j.Subnets = j.Subnets[:1]
		f.Endpoints = append(f.Endpoints, Endpoint{ID: "vpce-sts", VPC: "vpc-1", Service: "com.amazonaws.eu-west-1.sts", Available: true, Subnets: []string{"subnet-e"}})
		f.Others = []Subnet{{ID: "subnet-e", VPC: "vpc-1", CIDR: "10.0.9.0/24"}}
		f.ACLs = append(f.ACLs, ACL{ID: "acl-e", Subnets: []string{"subnet-e"}, Rules: open})
		c.plant(&f)
		if got := acls(j, f); len(got) != 1 || got[0].Result != c.want {
			t.Errorf("S6.3 %s: %+v", c.name, got)
		}
	}
}
