package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nightshift/internal/finding"
)

// ACL is a network ACL, which keeps no state: answers need rules of their own. Its
// rules stand in the order of their numbers, and the first that is about a packet
// decides; where none is, it is dropped. It is asked where a packet enters or leaves a
// subnet, never within one (VPC User Guide, "Control subnet traffic with network access
// control lists").
type ACL struct {
	ID      string
	Subnets []string
	Rules   []ACLRule
}

// ACLRule is one rule of a network ACL.
type ACLRule struct {
	Number           int
	Egress, Allow    bool
	Protocol         string // a number; "6" is TCP, "-1" all
	CIDR             string // of IPv4; "" where the rule is about IPv6
	PortFrom, PortTo int    // 0, 0: all
}

// span is a range of numbers, both ends in it.
type span struct{ from, to uint32 }

func (s span) meets(o span) bool { return s.from <= o.to && o.from <= s.to }

// without is what is left of s around o, which it meets.
func (s span) without(o span) (left []span) {
	if s.from < o.from {
		left = append(left, span{s.from, o.from - 1})
	}
	if s.to > o.to {
		left = append(left, span{o.to + 1, s.to})
	}
	return left
}

func (s span) within(o span) span { return span{max(s.from, o.from), min(s.to, o.to)} }

// packets are those of TCP whose far end is one of some addresses, to or from some
// ports.
type packets struct{ addresses, ports span }

// The ports: any, that of HTTPS, and those from which Linux calls, to which answers
// come (32768-60999; EC2's guide says to 61000).
var (
	anyPort = span{1, 65535}
	high    = span{1024, 65535}
	https   = span{443, 443}
	answers = span{32768, 61000}
)

// anywhere are all addresses; outside those that are nobody's own, among which S3's
// are.
var (
	anywhere = []span{{0, 1<<32 - 1}}
	outside  = func() []span {
		left := anywhere
		for _, own := range []string{"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3", "0.0.0.0/8"} {
			var next []span
			taken := cidr(own)[0]
			for _, s := range left {
				if s.meets(taken) {
					next = append(next, s.without(taken)...)
				} else {
					next = append(next, s)
				}
			}
			left = next
		}
		return left
	}()
)

// cidr are the addresses of a block; all, where it is not known.
func cidr(block string) []span {
	p, err := netip.ParsePrefix(block)
	if err != nil || !p.Addr().Is4() {
		return anywhere
	}
	first := p.Masked().Addr().As4()
	from := binary.BigEndian.Uint32(first[:])
	return []span{{from, from + (1<<(32-p.Bits()) - 1)}}
}

// share is how much of some packets gets through.
type share int

const (
	nothing share = iota
	some          // of some addresses or ports, not of others
	all
)

// lets says how much an ACL lets out, or in, of packets of TCP to or from ports with
// these addresses at the far end.
func (a ACL) lets(out bool, far []span, ports span) share {
	var left []packets
	for _, s := range far {
		left = append(left, packets{s, ports})
	}
	passed, dropped := false, false
	for _, r := range a.Rules {
		if r.Egress != out || r.Protocol != "-1" && r.Protocol != "6" || r.CIDR == "" {
			continue
		}
		about := packets{cidr(r.CIDR)[0], anyPort}
		if r.Protocol == "6" && r.PortTo > 0 {
			about.ports = span{uint32(max(r.PortFrom, 0)), uint32(r.PortTo)} //nolint:gosec // ports
		}
		var next []packets
		for _, p := range left {
			if !p.addresses.meets(about.addresses) || !p.ports.meets(about.ports) {
				next = append(next, p)
				continue
			}
			if r.Allow {
				passed = true
			} else {
				dropped = true
			}
			for _, s := range p.addresses.without(about.addresses) {
				next = append(next, packets{s, p.ports})
			}
			for _, s := range p.ports.without(about.ports) {
				next = append(next, packets{p.addresses.within(about.addresses), s})
			}
		}
		left = next
	}
	switch {
	case !passed:
		return nothing
	case len(left) > 0 || dropped:
		return some
	}
	return all
}

// calls says how much gets through of calls from a subnet to ports in another, and of
// their answers. there is nil where no ACL stands at the far end, or it is not known.
func calls(here ACL, from []span, there *ACL, to []span, ports span) share {
	least := min(here.lets(true, to, ports), here.lets(false, to, answers))
	if there != nil {
		least = min(least, there.lets(false, from, ports), there.lets(true, from, answers))
	}
	return least
}

func (f Facts) acl(subnet string) *ACL {
	i := slices.IndexFunc(f.ACLs, func(a ACL) bool { return slices.Contains(a.Subnets, subnet) })
	if i < 0 {
		return nil
	}
	return &f.ACLs[i]
}

// acls looks for network ACLs that undo what groups and routes allow (S6.3): between
// the job's subnets, where it has several instances; from each to S3; and to the
// interface endpoints of the VPC.
func acls(j Job, f Facts) []finding.Finding {
	const check = "network-acl"
	if f.ACLs == nil || f.Subnets == nil {
		return []finding.Finding{f.unread(check, missing(f.ACLs == nil, "acls", "subnets"))}
	}
	var found []finding.Finding
	for _, s := range f.used(j) {
		a := f.acl(s.ID)
		if a == nil {
			found = append(found, f.unread(check, "acls"))
			continue
		}
		worst := f.toS3(s, *a)
		for _, x := range append(f.toPeers(j, s, *a), f.toEndpoints(s, *a)...) {
			worst = worse(worst, x)
		}
		found = append(found, worst)
	}
	return found
}

// worse is one finding of two: the worse, that says both where both are bad.
func worse(a, b finding.Finding) finding.Finding {
	if slices.Index(finding.Results(), b.Result) > slices.Index(finding.Results(), a.Result) {
		a, b = b, a
	}
	if b.Result != finding.OK {
		a.What += " " + b.What
		if !strings.Contains(a.Fix, b.Fix) {
			a.Fix += " " + b.Fix
		}
	}
	return a
}

func (f Facts) toS3(s Subnet, a ACL) finding.Finding {
	const fix = "Allow TCP 443 out and TCP 1024–65535 in, or use the VPC's default network ACL."
	switch calls(a, nil, nil, outside, https) {
	case nothing:
		return failed("network-acl", s.ID, a.ID+" does not let port 443 out and the answers to it in: S3 is not reached.", fix)
	case some:
		return finding.Finding{Check: "network-acl", Result: finding.Unknown, Where: s.ID,
			What: "It cannot be told whether S3 is reached: " + a.ID + " lets port 443 out, or answers in, for some addresses only.", Fix: "Look whether S3's are among them (aws ec2 describe-prefix-lists). " + fix}
	case all:
	}
	return ok("network-acl", s.ID, a.ID+" lets port 443 out and the answers in.")
}

// toPeers are the findings about the other subnets of the job.
func (f Facts) toPeers(j Job, s Subnet, a ACL) (found []finding.Finding) {
	const fix = "Allow all TCP between the job's subnets, both ways, in the network ACLs of both, or name one subnet."
	for _, peer := range f.used(j) {
		there := f.acl(peer.ID)
		if j.Instances < 2 || peer.ID == s.ID || there == nil {
			continue
		}
		way := func(ports span) share {
			if s.CIDR == "" || peer.CIDR == "" { // the same subnet's, then, for all that is known
				return calls(a, anywhere, there, anywhere, ports)
			}
			return calls(a, cidr(s.CIDR), there, cidr(peer.CIDR), ports)
		}
		between := a.ID + " and " + there.ID
		switch everything := way(high); {
		case everything == some && (s.CIDR == "" || peer.CIDR == ""):
			found = append(found, finding.Finding{Check: "network-acl", Result: finding.Unknown, Where: s.ID,
				What: "It cannot be told whether instances here reach those in " + peer.ID + ": its addresses were not told, and " + between + " let only some through.", Fix: fix})
		case everything != all:
			found = append(found, failed("network-acl", s.ID, fmt.Sprintf("%s do not let TCP from here to %s and its answers through: instances in both cannot talk to each other.", between, peer.ID), fix))
		case way(anyPort) != all:
			found = append(found, finding.Finding{Check: "network-acl", Result: finding.Warning, Where: s.ID,
				What: between + " do not let every port below 1024 through to " + peer.ID + "; MPI, for one, uses port 22.", Fix: fix})
		}
	}
	return found
}

// toEndpoints are the findings about interface endpoints of the VPC. What a job's code
// calls nobody knows before it runs, so that they are warnings.
func (f Facts) toEndpoints(s Subnet, a ACL) (found []finding.Finding) {
	for _, e := range f.Endpoints {
		if e.VPC != s.VPC || e.Gateway || !e.Available {
			continue
		}
		for _, id := range e.Subnets {
			if id == s.ID {
				continue
			}
			to := anywhere
			if i := slices.IndexFunc(slices.Concat(f.Subnets, f.Others), func(o Subnet) bool { return o.ID == id }); i >= 0 {
				to = cidr(slices.Concat(f.Subnets, f.Others)[i].CIDR)
			}
			if calls(a, cidr(s.CIDR), f.acl(id), to, https) != all {
				found = append(found, finding.Finding{Check: "network-acl", Result: finding.Warning, Where: s.ID,
					What: "Network ACLs do not let every call of " + e.Service + " through to " + e.ID + " in " + id + " and back: code that calls it may wait until it times out.",
					Fix:  "Allow TCP 443 to the endpoint's subnets and the answers back, in the network ACLs of both."})
			}
		}
	}
	return found
}
