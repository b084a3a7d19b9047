// Package vpcsim speaks the part of Amazon EC2's query protocol (2016-11-15) that
// tells of networks, for the local system and for tests: faults are planted by
// changing what there is, and by refusing operations. It knows EC2's shapes and
// errors; it checks no signatures, changes nothing by itself, and must not know
// Nightshift's adapter.
package vpcsim

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"nightshift/internal/network"
)

// pageSize is how much one answer holds: little, so that pages are met.
const pageSize = 2

// Sim answers of one network. Use New.
type Sim struct {
	mu      sync.Mutex
	world   network.Facts
	refused map[string]refusal
	calls   map[string]int
}

type refusal struct {
	status int
	code   string
}

// New gives a simulator of what there is.
func New(world network.Facts) *Sim {
	return &Sim{world: world, refused: map[string]refusal{}, calls: map[string]int{}}
}

// Change changes what there is.
func (s *Sim) Change(how func(*network.Facts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(&s.world)
}

// Refuse answers an operation with an error; code "" allows it again.
func (s *Sim) Refuse(operation string, status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[operation] = refusal{status, code}
}

// Calls is how often an operation was called.
func (s *Sim) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Serves says whether it knows the operation.
func Serves(operation string) bool { return operations[operation] != nil }

var operations = map[string]func(*network.Facts, query) any{
	"DescribeSubnets":        describeSubnets,
	"DescribeSecurityGroups": describeGroups,
	"DescribeVpcAttribute":   describeAttribute,
	"DescribeRouteTables":    describeTables,
	"DescribeVpcEndpoints":   describeEndpoints,
	"DescribeNetworkAcls":    describeACLs,
}

// ServeHTTP answers one request of the query protocol.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		answer(w, http.StatusBadRequest, fail("MalformedQueryString", err.Error()))
		return
	}
	name := r.Form.Get("Action")
	do, known := operations[name]
	if !known {
		answer(w, http.StatusBadRequest, fail("InvalidAction", "The action "+name+" is not valid for this web service."))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[name]++
	if no := s.refused[name]; no.code != "" {
		answer(w, no.status, fail(no.code, "You are not authorized to perform this operation, or it was planted."))
		return
	}
	out, status := do(&s.world, query(r.Form)), http.StatusOK
	if _, no := out.(failure); no {
		status = http.StatusBadRequest
	}
	answer(w, status, out)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Nightshift-Simulated", "true")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(v) // the caller has gone; there is nobody to tell
}

type failure struct {
	XMLName xml.Name `xml:"Response"`
	Code    string   `xml:"Errors>Error>Code"`
	Message string   `xml:"Errors>Error>Message"`
	ID      string   `xml:"RequestID"`
}

func fail(code, message string) failure {
	return failure{Code: code, Message: message, ID: "simulated"}
}

// query is a request's parameters.
type query url.Values

// wants says whether a thing passes the filters; of gives its values by filter.
func (q query) wants(of map[string][]string) bool {
	for i := 1; ; i++ {
		name := url.Values(q).Get(fmt.Sprintf("Filter.%d.Name", i))
		if name == "" {
			return true
		}
		met := false
		for j := 1; ; j++ {
			v := url.Values(q).Get(fmt.Sprintf("Filter.%d.Value.%d", i, j))
			if v == "" {
				break
			}
			met = met || slices.Contains(of[name], v)
		}
		if !met {
			return false
		}
	}
}

// page is the part of a list that was asked for, and the token of the next.
func page[T any](q query, all []T) (part []T, next string) {
	from := 0
	_, _ = fmt.Sscanf(url.Values(q).Get("NextToken"), "page-%d", &from)
	from = min(from, len(all))
	to := min(from+pageSize, len(all))
	if to < len(all) {
		next = fmt.Sprintf("page-%d", to)
	}
	return all[from:to], next
}

// list is one answer: the items of a page under their set's name.
type list struct {
	XMLName xml.Name
	Items   any
	Next    string `xml:"nextToken,omitempty"`
}

func answerList[A, B any](q query, response, set string, all []A, fits func(A) map[string][]string, put func(A) B) any {
	all = slices.DeleteFunc(slices.Clone(all), func(a A) bool { return !q.wants(fits(a)) })
	part, next := page(q, all)
	items := struct {
		XMLName xml.Name
		Item    []B `xml:"item"`
	}{XMLName: xml.Name{Local: set}}
	for _, a := range part {
		items.Item = append(items.Item, put(a))
	}
	return list{XMLName: xml.Name{Space: "http://ec2.amazonaws.com/doc/2016-11-15/", Local: response}, Items: items, Next: next}
}

type subnet struct {
	ID   string `xml:"subnetId"`
	VPC  string `xml:"vpcId"`
	Zone string `xml:"availabilityZone"`
	Free int    `xml:"availableIpAddressCount"`
	CIDR string `xml:"cidrBlock"`
}

func describeSubnets(f *network.Facts, q query) any {
	return answerList(q, "DescribeSubnetsResponse", "subnetSet", slices.Concat(f.Subnets, f.Others),
		func(s network.Subnet) map[string][]string { return map[string][]string{"subnet-id": {s.ID}} },
		func(s network.Subnet) subnet { return subnet{s.ID, s.VPC, s.Zone, s.Free, s.CIDR} })
}

type group struct {
	ID      string       `xml:"groupId"`
	VPC     string       `xml:"vpcId"`
	Ingress []permission `xml:"ipPermissions>item"`
	Egress  []permission `xml:"ipPermissionsEgress>item"`
}

type permission struct {
	Protocol string   `xml:"ipProtocol"`
	From     *int     `xml:"fromPort"`
	To       *int     `xml:"toPort"`
	Groups   []string `xml:"groups>item>groupId"`
	CIDRs    []cidr   `xml:"ipRanges>item"`
	Lists    []prefix `xml:"prefixListIds>item"`
}

type cidr struct {
	IP string `xml:"cidrIp"`
}

type prefix struct {
	ID string `xml:"prefixListId"`
}

func permissions(rules []network.Rule) []permission {
	var all []permission
	for _, r := range rules {
		p := permission{Protocol: r.Protocol, Groups: r.Groups}
		if r.Protocol != "-1" {
			p.From, p.To = &r.From, &r.To
		}
		for _, c := range r.CIDRs {
			p.CIDRs = append(p.CIDRs, cidr{c})
		}
		for _, l := range r.Lists {
			p.Lists = append(p.Lists, prefix{l})
		}
		all = append(all, p)
	}
	return all
}

func describeGroups(f *network.Facts, q query) any {
	return answerList(q, "DescribeSecurityGroupsResponse", "securityGroupInfo", f.Groups,
		func(g network.Group) map[string][]string { return map[string][]string{"group-id": {g.ID}} },
		func(g network.Group) group { return group{g.ID, g.VPC, permissions(g.Ingress), permissions(g.Egress)} })
}

type attribute struct {
	XMLName xml.Name `xml:"http://ec2.amazonaws.com/doc/2016-11-15/ DescribeVpcAttributeResponse"`
	ID      string   `xml:"vpcId"`
	Support *value   `xml:"enableDnsSupport"`
	Names   *value   `xml:"enableDnsHostnames"`
}

type value struct {
	Value bool `xml:"value"`
}

func describeAttribute(f *network.Facts, q query) any {
	id := url.Values(q).Get("VpcId")
	i := slices.IndexFunc(f.VPCs, func(v network.VPC) bool { return v.ID == id })
	if i < 0 {
		return fail("InvalidVpcID.NotFound", "The vpc ID '"+id+"' does not exist")
	}
	if url.Values(q).Get("Attribute") == "enableDnsSupport" {
		return attribute{ID: id, Support: &value{f.VPCs[i].DNSSupport}}
	}
	return attribute{ID: id, Names: &value{f.VPCs[i].DNSHostname}}
}

type table struct {
	ID           string        `xml:"routeTableId"`
	VPC          string        `xml:"vpcId"`
	Routes       []route       `xml:"routeSet>item"`
	Associations []association `xml:"associationSet>item"`
}

type route struct {
	CIDR    string `xml:"destinationCidrBlock,omitempty"`
	List    string `xml:"destinationPrefixListId,omitempty"`
	Gateway string `xml:"gatewayId,omitempty"`
	NAT     string `xml:"natGatewayId,omitempty"`
	State   string `xml:"state"`
}

type association struct {
	Subnet string `xml:"subnetId,omitempty"`
	Main   bool   `xml:"main"`
}

func describeTables(f *network.Facts, q query) any {
	return answerList(q, "DescribeRouteTablesResponse", "routeTableSet", f.Tables,
		func(t network.Table) map[string][]string { return map[string][]string{"vpc-id": {t.VPC}} },
		func(t network.Table) table {
			out := table{ID: t.ID, VPC: t.VPC}
			if t.Main {
				out.Associations = append(out.Associations, association{Main: true})
			}
			for _, s := range t.Subnets {
				out.Associations = append(out.Associations, association{Subnet: s})
			}
			for _, r := range t.Routes {
				n := route{State: "active"}
				if r.Blackhole {
					n.State = "blackhole"
				}
				if n.CIDR = r.To; strings.HasPrefix(r.To, "pl-") {
					n.CIDR, n.List = "", r.To
				}
				if n.Gateway = r.Target; strings.HasPrefix(r.Target, "nat-") {
					n.Gateway, n.NAT = "", r.Target
				}
				out.Routes = append(out.Routes, n)
			}
			return out
		})
}

type endpoint struct {
	ID      string `xml:"vpcEndpointId"`
	VPC     string `xml:"vpcId"`
	Service string `xml:"serviceName"`
	Kind    string `xml:"vpcEndpointType"`
	State   string `xml:"state"`

	Subnets []string `xml:"subnetIdSet>item"`
}

func describeEndpoints(f *network.Facts, q query) any {
	return answerList(q, "DescribeVpcEndpointsResponse", "vpcEndpointSet", f.Endpoints,
		func(e network.Endpoint) map[string][]string { return map[string][]string{"vpc-id": {e.VPC}} },
		func(e network.Endpoint) endpoint {
			n := endpoint{e.ID, e.VPC, e.Service, "Interface", "pending", e.Subnets}
			if e.Gateway {
				n.Kind = "Gateway"
			}
			if e.Available {
				n.State = "available"
			}
			return n
		})
}

type acl struct {
	ID      string  `xml:"networkAclId"`
	Subnets []bound `xml:"associationSet>item"`
	Entries []entry `xml:"entrySet>item"`
}

type bound struct {
	Subnet string `xml:"subnetId"`
}

type entry struct {
	Number   int    `xml:"ruleNumber"`
	Protocol string `xml:"protocol"`
	Action   string `xml:"ruleAction"`
	Egress   bool   `xml:"egress"`
	CIDR     string `xml:"cidrBlock"`
	Ports    *ports `xml:"portRange"`
}

type ports struct {
	From int `xml:"from"`
	To   int `xml:"to"`
}

func describeACLs(f *network.Facts, q query) any {
	return answerList(q, "DescribeNetworkAclsResponse", "networkAclSet", f.ACLs,
		func(a network.ACL) map[string][]string {
			return map[string][]string{"association.subnet-id": a.Subnets}
		},
		func(a network.ACL) acl {
			n := acl{ID: a.ID}
			for _, s := range a.Subnets {
				n.Subnets = append(n.Subnets, bound{s})
			}
			for _, r := range a.Rules {
				e := entry{Number: r.Number, Protocol: r.Protocol, Action: "deny", Egress: r.Egress, CIDR: r.CIDR}
				if r.Allow {
					e.Action = "allow"
				}
				if r.PortTo > 0 {
					e.Ports = &ports{r.PortFrom, r.PortTo}
				}
				n.Entries = append(n.Entries, e)
			}
			return n
		})
}
