// Package network judges the network that a job is to run in, before the job
// starts (S6). It knows what SageMaker needs of a VPC; it calls nothing: its
// caller reads the facts.
package network

import (
	"fmt"
	"slices"
	"strings"

	"nightshift/internal/finding"
)

// AddressesEach is how many private addresses SageMaker needs for each instance
// of a job (SageMaker Developer Guide, "Give Amazon SageMaker Processing Jobs
// Access to Resources in Your Amazon VPC").
const AddressesEach = 2

// The most that VpcConfig takes; more is refused by SageMaker.
const (
	SubnetsMax = 16
	GroupsMax  = 5
)

// Job is what is to run.
type Job struct {
	Name      string
	Subnets   []string // VpcConfig.Subnets
	Groups    []string // VpcConfig.SecurityGroupIds
	Instances int
}

// Facts are what was read of the network. A list that could not be read is nil;
// one that was read and is empty is not.
type Facts struct {
	Subnets   []Subnet
	Others    []Subnet // where interface endpoints are, beside the job's own
	Groups    []Group
	VPCs      []VPC
	Tables    []Table    // route tables of the subnets' VPCs
	Endpoints []Endpoint // VPC endpoints there
	ACLs      []ACL      // network ACLs of the subnets, and of those of the endpoints
	// Planned are instances of jobs already admitted whose addresses may not be
	// taken yet, over the same subnets; less than 0: nobody has counted them.
	Planned int
	// Failed says why something could not be read, by what: "subnets", "groups",
	// "vpcs", "tables", "endpoints", "acls".
	Failed map[string]string
}

// Subnet is one subnet.
type Subnet struct {
	ID, VPC, Zone string
	Free          int    // AvailableIpAddressCount
	CIDR          string // of IPv4; "" is unknown
}

// Group is a security group.
type Group struct {
	ID, VPC         string
	Ingress, Egress []Rule
}

// Rule is one permission of a security group.
type Rule struct {
	Protocol string // "-1" is all
	From, To int    // ports; without meaning where all protocols are allowed
	Groups   []string
	CIDRs    []string
	Lists    []string // prefix lists
}

// VPC is one VPC.
type VPC struct {
	ID                      string
	DNSSupport, DNSHostname bool
}

// Table is a route table; Main is the one of subnets without one of their own.
type Table struct {
	ID, VPC string
	Main    bool
	Subnets []string
	Routes  []Route
}

// Route is one route: to a CIDR or a prefix list, by way of a target (vpce-…,
// nat-…, igw-…).
type Route struct {
	To, Target string
	Blackhole  bool
}

// Endpoint is a VPC endpoint.
type Endpoint struct {
	ID, VPC, Service string // com.amazonaws.eu-west-1.s3
	Gateway          bool
	Available        bool
	Subnets          []string // of an interface endpoint
}

// Preflight checks what a job needs of its network, all at once (S6.1–S6.3). What
// could not be read is unknown, never ok.
func Preflight(j Job, f Facts) []finding.Finding {
	var all []finding.Finding
	all = append(all, asked(j)...)
	all = append(all, subnets(j, f)...)
	all = append(all, oneVPC(j, f), addresses(j, f))
	all = append(all, s3(j, f)...)
	all = append(all, dns(f)...)
	all = append(all, groups(j, f)...)
	return append(all, acls(j, f)...)
}

func ok(check, where, what string) finding.Finding {
	return finding.Finding{Check: check, Result: finding.OK, Where: where, What: what}
}

func failed(check, where, what, fix string) finding.Finding {
	return finding.Finding{Check: check, Result: finding.Failure, Where: where, What: what, Fix: fix}
}

// unread is the finding for facts that could not be read.
func (f Facts) unread(check, what string) finding.Finding {
	why := f.Failed[what]
	if why == "" {
		why = "it was not read"
	}
	return finding.Finding{Check: check, Result: finding.Unknown, Where: what, What: "It cannot be told: " + strings.TrimSuffix(why, ".") + ".", Fix: "Allow it to be read, and try again."}
}

func asked(j Job) []finding.Finding {
	var all []finding.Finding
	if n := len(j.Subnets); n == 0 || n > SubnetsMax {
		all = append(all, failed("subnets-given", "VpcConfig.Subnets", fmt.Sprintf("The job names %d subnets.", n), fmt.Sprintf("Name 1 to %d subnets.", SubnetsMax)))
	}
	if n := len(j.Groups); n == 0 || n > GroupsMax {
		all = append(all, failed("groups-given", "VpcConfig.SecurityGroupIds", fmt.Sprintf("The job names %d security groups.", n), fmt.Sprintf("Name 1 to %d security groups.", GroupsMax)))
	}
	if j.Instances < 1 {
		all = append(all, failed("instances", "ClusterConfig.InstanceCount", fmt.Sprintf("The job has %d instances.", j.Instances), "Ask for at least one."))
	}
	return all
}

func subnets(j Job, f Facts) []finding.Finding {
	if f.Subnets == nil {
		return []finding.Finding{f.unread("subnet-exists", "subnets")}
	}
	var all []finding.Finding
	for _, id := range j.Subnets {
		if i := slices.IndexFunc(f.Subnets, func(s Subnet) bool { return s.ID == id }); i < 0 {
			all = append(all, failed("subnet-exists", id, "There is no such subnet in this account and Region.", "Name a subnet that exists."))
		} else {
			all = append(all, ok("subnet-exists", id, fmt.Sprintf("It is in %s, zone %s, with %d free addresses.", f.Subnets[i].VPC, f.Subnets[i].Zone, f.Subnets[i].Free)))
		}
	}
	return all
}

// used are the subnets of the job that exist.
func (f Facts) used(j Job) []Subnet {
	return slices.DeleteFunc(slices.Clone(f.Subnets), func(s Subnet) bool { return !slices.Contains(j.Subnets, s.ID) })
}

func oneVPC(j Job, f Facts) finding.Finding {
	if f.Subnets == nil || f.Groups == nil {
		return f.unread("one-vpc", missing(f.Subnets == nil, "subnets", "groups"))
	}
	vpcs := map[string][]string{}
	for _, s := range f.used(j) {
		vpcs[s.VPC] = append(vpcs[s.VPC], s.ID)
	}
	for _, g := range f.Groups {
		if slices.Contains(j.Groups, g.ID) {
			vpcs[g.VPC] = append(vpcs[g.VPC], g.ID)
		}
	}
	var names []string
	for v, ids := range vpcs {
		names = append(names, v+": "+strings.Join(ids, " "))
	}
	slices.Sort(names)
	if len(vpcs) == 0 || vpcs[""] != nil {
		return finding.Finding{Check: "one-vpc", Result: finding.Unknown, Where: strings.Join(slices.Concat(j.Subnets, j.Groups), " "),
			What: "It cannot be told: of what the job names, nothing was found whose VPC is known.", Fix: "Name subnets and security groups that exist."}
	}
	if len(vpcs) > 1 {
		return failed("one-vpc", "", "Subnets and security groups are in several VPCs ("+strings.Join(names, "; ")+").", "Name subnets and groups of one VPC.")
	}
	return ok("one-vpc", "", "All are in one VPC.")
}

func missing(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func addresses(j Job, f Facts) finding.Finding {
	if f.Subnets == nil {
		return f.unread("free-addresses", "subnets")
	}
	free := 0
	for _, s := range f.used(j) {
		free += s.Free
	}
	need, planned := AddressesEach*max(j.Instances, 0), AddressesEach*max(f.Planned, 0)
	where := strings.Join(j.Subnets, " ")
	others := fmt.Sprintf("jobs already admitted %d", planned)
	if f.Planned < 0 {
		others = "those of jobs already admitted are not counted here"
	}
	said := fmt.Sprintf("%d addresses are free; the job needs %d (%d for each of %d instances), %s.", free, need, AddressesEach, j.Instances, others)
	if free < need+planned {
		return failed("free-addresses", where, said, "Add a subnet of the same VPC, use a larger one, ask for fewer instances, or wait until other jobs have ended.")
	}
	return ok("free-addresses", where, said)
}

// s3 wants, for each subnet, a route to S3 by a gateway endpoint. An egress by a
// NAT gateway reaches S3 too, but past the endpoint's policy.
func s3(j Job, f Facts) []finding.Finding {
	if f.Subnets == nil || f.Tables == nil || f.Endpoints == nil {
		what := missing(f.Tables == nil, "tables", "endpoints")
		return []finding.Finding{f.unread("s3-route", missing(f.Subnets == nil, "subnets", what))}
	}
	var all []finding.Finding
	for _, s := range f.used(j) {
		t, found := f.table(s)
		if !found {
			all = append(all, failed("s3-route", s.ID, "The subnet has no route table, and its VPC no main one.", "Associate a route table with the subnet."))
			continue
		}
		all = append(all, f.s3Route(s, t))
	}
	return all
}

func (f Facts) table(s Subnet) (Table, bool) {
	for _, t := range f.Tables {
		if slices.Contains(t.Subnets, s.ID) {
			return t, true
		}
	}
	for _, t := range f.Tables {
		if t.Main && t.VPC == s.VPC {
			return t, true
		}
	}
	return Table{}, false
}

func (f Facts) s3Route(s Subnet, t Table) finding.Finding {
	for _, r := range t.Routes {
		i := slices.IndexFunc(f.Endpoints, func(e Endpoint) bool {
			return e.ID == r.Target && e.Gateway && strings.HasSuffix(e.Service, ".s3")
		})
		switch {
		case i < 0:
		case r.Blackhole || !f.Endpoints[i].Available:
			return failed("s3-route", s.ID, t.ID+" routes S3 to "+r.Target+", which is not available.", "Make the gateway endpoint anew.")
		default:
			return ok("s3-route", s.ID, t.ID+" routes S3 to "+r.Target+".")
		}
	}
	for _, e := range f.Endpoints {
		if e.VPC == s.VPC && e.Gateway && strings.HasSuffix(e.Service, ".s3") {
			return failed("s3-route", s.ID, "Its route table "+t.ID+" has no route to "+e.ID+", the VPC's gateway endpoint for S3.", "Add "+t.ID+" to the endpoint's route tables.")
		}
	}
	return failed("s3-route", s.ID, "Its VPC has no gateway endpoint for S3.", "Make one for com.amazonaws.<region>.s3 with the route table "+t.ID+".")
}

func dns(f Facts) []finding.Finding {
	if f.VPCs == nil {
		return []finding.Finding{f.unread("dns", "vpcs")}
	}
	var all []finding.Finding
	for _, v := range f.VPCs {
		switch {
		case !v.DNSSupport:
			all = append(all, failed("dns", v.ID, "DNS resolution is off: the names of S3 do not resolve.", "Turn enableDnsSupport on."))
		case !v.DNSHostname:
			all = append(all, failed("dns", v.ID, "DNS host names are off: interface endpoints have no private names.", "Turn enableDnsHostnames on."))
		default:
			all = append(all, ok("dns", v.ID, "DNS resolution and host names are on."))
		}
	}
	return all
}

func groups(j Job, f Facts) []finding.Finding {
	if f.Groups == nil {
		return []finding.Finding{f.unread("group-exists", "groups")}
	}
	var all []finding.Finding
	var found []Group
	for _, id := range j.Groups {
		if i := slices.IndexFunc(f.Groups, func(g Group) bool { return g.ID == id }); i < 0 {
			all = append(all, failed("group-exists", id, "There is no such security group in this account and Region.", "Name a group that exists."))
		} else {
			found = append(found, f.Groups[i])
		}
	}
	where := strings.Join(j.Groups, " ")
	if j.Instances > 1 {
		if slices.ContainsFunc(found, func(g Group) bool { return g.admitsOneOf(j.Groups) }) {
			all = append(all, ok("group-admits-itself", where, "The job's instances reach each other."))
		} else {
			all = append(all, failed("group-admits-itself", where, "No security group of the job lets its own members in on all ports: a job of several instances cannot talk to itself.",
				"Add an inbound rule for all traffic with the group itself as its source."))
		}
	}
	if slices.ContainsFunc(found, func(g Group) bool { return slices.ContainsFunc(g.Egress, Rule.https) }) {
		return append(all, ok("group-lets-out", where, "The job may call out on port 443."))
	}
	return append(all, failed("group-lets-out", where, "No security group of the job lets traffic out on port 443: it cannot reach S3.",
		"Add an outbound rule for port 443, to S3's prefix list at least."))
}

// admitsOneOf is whether members of one of the groups may reach this one's on
// every port. All of the job's groups are on each of its instances.
func (g Group) admitsOneOf(groups []string) bool {
	return slices.ContainsFunc(g.Ingress, func(r Rule) bool {
		every := r.Protocol == "-1" || r.Protocol == "tcp" && r.From == 0 && r.To == 65535
		return every && slices.ContainsFunc(r.Groups, func(id string) bool { return slices.Contains(groups, id) })
	})
}

func (r Rule) https() bool {
	to := len(r.CIDRs)+len(r.Lists)+len(r.Groups) > 0
	return to && (r.Protocol == "-1" || r.Protocol == "tcp" && r.From <= 443 && r.To >= 443)
}

// Services judges whether a job reaches other services of AWS than S3 (S6.3): by
// a way out of the VPC, or by an interface endpoint for each. What a job's code
// calls nobody knows before it runs, so that what is missing is a warning. The
// names are those of the endpoints' services, "sts".
func Services(j Job, f Facts, names ...string) []finding.Finding {
	const check = "other-services"
	if f.Subnets == nil || f.Tables == nil || f.Endpoints == nil {
		return []finding.Finding{f.unread(check, missing(f.Subnets == nil, "subnets", missing(f.Tables == nil, "tables", "endpoints")))}
	}
	var all []finding.Finding
	for _, s := range f.used(j) {
		t, _ := f.table(s)
		i := slices.IndexFunc(t.Routes, func(r Route) bool { return r.To == "0.0.0.0/0" && !r.Blackhole && r.Target != "local" })
		without := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return slices.ContainsFunc(f.Endpoints, func(e Endpoint) bool {
				return e.VPC == s.VPC && !e.Gateway && e.Available && strings.HasSuffix(e.Service, "."+name)
			})
		})
		switch {
		case i >= 0:
			all = append(all, ok(check, s.ID, "Other services are reached by "+t.Routes[i].Target+"."))
		case len(without) == 0:
			all = append(all, ok(check, s.ID, "Other services are reached by interface endpoints."))
		default:
			all = append(all, finding.Finding{Check: check, Result: finding.Warning, Where: s.ID,
				What: "There is no way out of the VPC, and no interface endpoint for " + strings.Join(without, ", ") + ": code that calls them waits until it times out.",
				Fix:  "Make interface endpoints for what the job's code calls, or a route to a NAT gateway."})
		}
	}
	return all
}
