// Package vpc reads what EC2 tells of the network that a job is to run in, and
// checks it before the job starts (S6). It knows EC2's answers and SageMaker's
// requests; the rules are package network's, and it changes nothing.
package vpc

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"nightshift/internal/awsfault"
	"nightshift/internal/fault"
	"nightshift/internal/network"
)

// pagesMax bounds one list; a VPC has some hundred route tables at most. A list
// that is longer counts as not read.
const pagesMax = 20

// API is what is used of EC2's client; all of it reads.
type API interface {
	DescribeSubnets(context.Context, *sdk.DescribeSubnetsInput, ...func(*sdk.Options)) (*sdk.DescribeSubnetsOutput, error)
	DescribeSecurityGroups(context.Context, *sdk.DescribeSecurityGroupsInput, ...func(*sdk.Options)) (*sdk.DescribeSecurityGroupsOutput, error)
	DescribeVpcAttribute(context.Context, *sdk.DescribeVpcAttributeInput, ...func(*sdk.Options)) (*sdk.DescribeVpcAttributeOutput, error)
	DescribeRouteTables(context.Context, *sdk.DescribeRouteTablesInput, ...func(*sdk.Options)) (*sdk.DescribeRouteTablesOutput, error)
	DescribeVpcEndpoints(context.Context, *sdk.DescribeVpcEndpointsInput, ...func(*sdk.Options)) (*sdk.DescribeVpcEndpointsOutput, error)
	DescribeNetworkAcls(context.Context, *sdk.DescribeNetworkAclsInput, ...func(*sdk.Options)) (*sdk.DescribeNetworkAclsOutput, error)
}

// reading collects the facts of one job.
type reading struct {
	ctx   context.Context
	api   API
	facts network.Facts
}

// Read reads what there is of the subnets and groups that a job names, by
// filters, because EC2 refuses a whole list for one id that does not exist. What
// the role may not read is left nil, with the reason in Facts.Failed; every other
// failure may pass and is answered, so that the whole is tried again.
func Read(ctx context.Context, api API, j network.Job) (network.Facts, error) {
	r := &reading{ctx: ctx, api: api, facts: network.Facts{Failed: map[string]string{}}}
	for _, step := range []func(network.Job) error{r.subnets, r.groups, r.vpcs, r.tables, r.endpoints, r.others, r.acls} {
		if err := step(j); err != nil {
			return network.Facts{}, err
		}
	}
	return r.facts, nil
}

// denied notes a refusal and says that it is one; any other error is answered.
func (r *reading) denied(what string, err error) error {
	if err = classify("ec2: read "+what, err); fault.Is(err, fault.Denied) {
		r.facts.Failed[what] = err.Error()
		return nil
	}
	return err
}

// pages walks a list to its end.
func pages(next func(token *string) (*string, error)) error {
	var token *string
	for range pagesMax {
		following, err := next(token)
		if err != nil {
			return err
		}
		if token = following; aws.ToString(token) == "" {
			return nil
		}
	}
	return fault.Newf("ec2: read a list", fault.Unknown, "it has more than %d pages", pagesMax)
}

func by(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: aws.String(name), Values: values}}
}

// list reads a list by a filter into the place of the facts that it is for. No
// value to filter by is an empty list: EC2 would take it for no filter.
func list[In any](r *reading, what string, into *[]In, values []string, page func(filter []types.Filter, token *string) ([]In, *string, error), filter string) error {
	found := []In{}
	var err error
	if len(values) > 0 {
		err = pages(func(token *string) (*string, error) {
			items, next, err := page(by(filter, values...), token)
			found = append(found, items...)
			return next, err
		})
	}
	if err != nil {
		return r.denied(what, err)
	}
	*into = found
	return nil
}

// each puts items of EC2 into package network's words.
func each[A, B any](items []A, put func(A) B) []B {
	all := make([]B, 0, len(items))
	for _, i := range items {
		all = append(all, put(i))
	}
	return all
}

func (r *reading) subnets(j network.Job) error { return r.subnetsInto(&r.facts.Subnets, j.Subnets) }

func (r *reading) subnetsInto(into *[]network.Subnet, ids []string) error {
	return list(r, "subnets", into, ids, func(f []types.Filter, token *string) ([]network.Subnet, *string, error) {
		out, err := r.api.DescribeSubnets(r.ctx, &sdk.DescribeSubnetsInput{Filters: f, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return each(out.Subnets, func(s types.Subnet) network.Subnet {
			return network.Subnet{
				ID: aws.ToString(s.SubnetId), VPC: aws.ToString(s.VpcId), Zone: aws.ToString(s.AvailabilityZone),
				Free: int(aws.ToInt32(s.AvailableIpAddressCount)), CIDR: aws.ToString(s.CidrBlock),
			}
		}), out.NextToken, nil
	}, "subnet-id")
}

// others are the subnets of interface endpoints that are not the job's.
func (r *reading) others(j network.Job) error {
	var ids []string
	for _, e := range r.facts.Endpoints {
		for _, id := range e.Subnets {
			if !slices.Contains(j.Subnets, id) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return r.subnetsInto(&r.facts.Others, ids)
}

func (r *reading) groups(j network.Job) error {
	return list(r, "groups", &r.facts.Groups, j.Groups, func(f []types.Filter, token *string) ([]network.Group, *string, error) {
		out, err := r.api.DescribeSecurityGroups(r.ctx, &sdk.DescribeSecurityGroupsInput{Filters: f, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return each(out.SecurityGroups, func(g types.SecurityGroup) network.Group {
			return network.Group{ID: aws.ToString(g.GroupId), VPC: aws.ToString(g.VpcId), Ingress: each(g.IpPermissions, rule), Egress: each(g.IpPermissionsEgress, rule)}
		}), out.NextToken, nil
	}, "group-id")
}

func rule(p types.IpPermission) network.Rule {
	return network.Rule{
		Protocol: aws.ToString(p.IpProtocol), From: int(aws.ToInt32(p.FromPort)), To: int(aws.ToInt32(p.ToPort)),
		Groups: each(p.UserIdGroupPairs, func(g types.UserIdGroupPair) string { return aws.ToString(g.GroupId) }),
		CIDRs: append(each(p.IpRanges, func(c types.IpRange) string { return aws.ToString(c.CidrIp) }),
			each(p.Ipv6Ranges, func(c types.Ipv6Range) string { return aws.ToString(c.CidrIpv6) })...),
		Lists: each(p.PrefixListIds, func(l types.PrefixListId) string { return aws.ToString(l.PrefixListId) }),
	}
}

// vpcIDs are the VPCs of the subnets; nil, with what it is wanted for marked as
// failed, where the subnets could not be read.
func (r *reading) vpcIDs(what string) ([]string, bool) {
	if r.facts.Subnets == nil {
		r.facts.Failed[what] = "the subnets could not be read"
		return nil, false
	}
	ids := each(r.facts.Subnets, func(s network.Subnet) string { return s.VPC })
	slices.Sort(ids)
	return slices.Compact(ids), true
}

func (r *reading) vpcs(network.Job) error {
	ids, ok := r.vpcIDs("vpcs")
	if !ok {
		return nil
	}
	found := []network.VPC{}
	for _, id := range ids {
		support, err := r.api.DescribeVpcAttribute(r.ctx, &sdk.DescribeVpcAttributeInput{VpcId: &id, Attribute: types.VpcAttributeNameEnableDnsSupport})
		if err != nil {
			return r.denied("vpcs", err)
		}
		names, err := r.api.DescribeVpcAttribute(r.ctx, &sdk.DescribeVpcAttributeInput{VpcId: &id, Attribute: types.VpcAttributeNameEnableDnsHostnames})
		if err != nil {
			return r.denied("vpcs", err)
		}
		found = append(found, network.VPC{ID: id, DNSSupport: on(support.EnableDnsSupport), DNSHostname: on(names.EnableDnsHostnames)})
	}
	r.facts.VPCs = found
	return nil
}

func on(v *types.AttributeBooleanValue) bool { return v != nil && aws.ToBool(v.Value) }

func (r *reading) tables(network.Job) error {
	ids, ok := r.vpcIDs("tables")
	if !ok {
		return nil
	}
	return list(r, "tables", &r.facts.Tables, ids, func(f []types.Filter, token *string) ([]network.Table, *string, error) {
		out, err := r.api.DescribeRouteTables(r.ctx, &sdk.DescribeRouteTablesInput{Filters: f, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return each(out.RouteTables, table), out.NextToken, nil
	}, "vpc-id")
}

func table(t types.RouteTable) network.Table {
	n := network.Table{ID: aws.ToString(t.RouteTableId), VPC: aws.ToString(t.VpcId), Routes: each(t.Routes, route)}
	for _, a := range t.Associations {
		n.Main = n.Main || aws.ToBool(a.Main)
		if a.SubnetId != nil {
			n.Subnets = append(n.Subnets, *a.SubnetId)
		}
	}
	return n
}

func route(r types.Route) network.Route {
	text := aws.ToString
	return network.Route{
		To:        cmp.Or(text(r.DestinationCidrBlock), text(r.DestinationPrefixListId), text(r.DestinationIpv6CidrBlock)),
		Target:    cmp.Or(text(r.GatewayId), text(r.NatGatewayId), text(r.TransitGatewayId), text(r.VpcPeeringConnectionId), text(r.NetworkInterfaceId), text(r.InstanceId)),
		Blackhole: r.State == types.RouteStateBlackhole,
	}
}

func (r *reading) endpoints(network.Job) error {
	ids, ok := r.vpcIDs("endpoints")
	if !ok {
		return nil
	}
	return list(r, "endpoints", &r.facts.Endpoints, ids, func(f []types.Filter, token *string) ([]network.Endpoint, *string, error) {
		out, err := r.api.DescribeVpcEndpoints(r.ctx, &sdk.DescribeVpcEndpointsInput{Filters: f, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return each(out.VpcEndpoints, func(e types.VpcEndpoint) network.Endpoint {
			return network.Endpoint{
				ID: aws.ToString(e.VpcEndpointId), VPC: aws.ToString(e.VpcId), Service: aws.ToString(e.ServiceName),
				Gateway: e.VpcEndpointType == types.VpcEndpointTypeGateway, Subnets: e.SubnetIds,
				// The model says "Available", the service "available".
				Available: strings.EqualFold(string(e.State), string(types.StateAvailable)),
			}
		}), out.NextToken, nil
	}, "vpc-id")
}

func (r *reading) acls(j network.Job) error {
	ids := slices.Concat(j.Subnets, each(r.facts.Others, func(s network.Subnet) string { return s.ID }))
	return list(r, "acls", &r.facts.ACLs, ids, func(f []types.Filter, token *string) ([]network.ACL, *string, error) {
		out, err := r.api.DescribeNetworkAcls(r.ctx, &sdk.DescribeNetworkAclsInput{Filters: f, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return each(out.NetworkAcls, acl), out.NextToken, nil
	}, "association.subnet-id")
}

func acl(a types.NetworkAcl) network.ACL {
	n := network.ACL{
		ID:      aws.ToString(a.NetworkAclId),
		Subnets: each(a.Associations, func(s types.NetworkAclAssociation) string { return aws.ToString(s.SubnetId) }),
		Rules: each(a.Entries, func(e types.NetworkAclEntry) network.ACLRule {
			r := network.ACLRule{
				Number: int(aws.ToInt32(e.RuleNumber)), Egress: aws.ToBool(e.Egress), Allow: e.RuleAction == types.RuleActionAllow,
				Protocol: aws.ToString(e.Protocol), CIDR: aws.ToString(e.CidrBlock),
			}
			if e.PortRange != nil {
				r.PortFrom, r.PortTo = int(aws.ToInt32(e.PortRange.From)), int(aws.ToInt32(e.PortRange.To))
			}
			return r
		}),
	}
	slices.SortStableFunc(n.Rules, func(a, b network.ACLRule) int { return cmp.Compare(a.Number, b.Number) })
	return n
}

// codes are what EC2's own words mean.
var codes = awsfault.Codes{"AuthFailure": fault.Denied, "OptInRequired": fault.Denied}

// classify says what to do about EC2's error. nil stays nil.
func classify(op string, err error) error {
	if fault.KindOf(err) != fault.Unknown {
		return err
	}
	return awsfault.Classify(op, err, codes)
}
