package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// TagNotebook is the tag of a cluster that was made for a notebook; its value is
// the notebook's id.
const TagNotebook = "nightshift:notebook"

// IdleLimit is how long a cluster that was made for a notebook stays without work
// before it ends by itself (EMR's auto-termination policy; 60 s to 7 days).
const IdleLimit = time.Hour

// What a cluster is for a notebook that is to move there.
const (
	Ready    = "ready"
	Starting = "starting" // it will be ready, or not
	Never    = "never"    // it is none to move to
)

// cluster is what of DescribeCluster's answer is read.
type cluster struct {
	Id, ReleaseLabel, ServiceRole, SecurityConfiguration string
	Status                                               struct {
		State             string
		StateChangeReason struct{ Message string }
	}
	Applications          []struct{ Name string }
	Ec2InstanceAttributes struct {
		Ec2SubnetId, IamInstanceProfile                                                         string
		EmrManagedMasterSecurityGroup, EmrManagedSlaveSecurityGroup, ServiceAccessSecurityGroup string
	}
	Configurations json.RawMessage
	Tags           []tag
}

type tag struct{ Key, Value string }

func (c cluster) tagged(key string) string {
	for _, t := range c.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// Judge says whether a notebook can move from the cluster source to target: that
// must be ready, in the same VPC, as subnets (DescribeSubnets' answer) tell, and of
// the same cost center, where the source has one: a move is made by our role, which
// the policies of users (DepartmentPolicy) do not bind.
// reason says why not, or not yet. An error: the answers cannot be read.
func Judge(source, target, subnets []byte) (state, reason string, err error) {
	var from, to cluster
	var nets []struct{ SubnetId, VpcId string }
	if err := errors.Join(json.Unmarshal(source, &from), json.Unmarshal(target, &to), json.Unmarshal(subnets, &nets)); err != nil {
		return "", "", err
	}
	vpc := func(subnet string) string {
		for _, n := range nets {
			if n.SubnetId == subnet {
				return n.VpcId
			}
		}
		return ""
	}
	here, there := vpc(from.Ec2InstanceAttributes.Ec2SubnetId), vpc(to.Ec2InstanceAttributes.Ec2SubnetId)
	switch {
	case here == "" || there == "":
		return "", "", fmt.Errorf("the VPC of subnet %q or %q is not told", from.Ec2InstanceAttributes.Ec2SubnetId, to.Ec2InstanceAttributes.Ec2SubnetId)
	case here != there:
		return Never, fmt.Sprintf("Cluster %s is in %s, and %s, where the notebook runs, in %s: a notebook can be moved within its VPC only.", to.Id, there, from.Id, here), nil
	}
	if center := from.tagged(TagCostCenter); center != "" && to.tagged(TagCostCenter) != center {
		return Never, fmt.Sprintf("Cluster %s has the %s %q, and %s, where the notebook runs, %q: a notebook stays with its department.", to.Id, TagCostCenter, to.tagged(TagCostCenter), from.Id, center), nil
	}
	reason = fmt.Sprintf("Cluster %s is %s.", to.Id, to.Status.State)
	if m := to.Status.StateChangeReason.Message; m != "" {
		reason += " EMR says: " + m
	}
	switch to.Status.State {
	case "WAITING", "RUNNING":
		return Ready, "", nil
	case "STARTING", "BOOTSTRAPPING":
		return Starting, reason, nil
	}
	return Never, reason + " A notebook can be moved to one that is WAITING or RUNNING, or is starting.", nil
}

// New is what somebody asks of a new cluster, as the input of move-notebook has
// it.
type New struct {
	InstanceType string `json:"instanceType"`
	Instances    int    `json:"instances"`    // 0: one
	ReleaseLabel string `json:"releaseLabel"` // "": as the old cluster's
}

// group is an instance group of RunJobFlow.
type group struct {
	InstanceRole, InstanceType string
	InstanceCount              int
}

// Like is the request (RunJobFlow) for a cluster like the one that a notebook
// leaves: of its release, applications, roles, settings, network and tags, so
// that who may use the one may use the other. wish is a New as JSON. One node is primary node and worker
// at once. Bootstrap actions and steps are not in DescribeCluster's answer and are
// not copied.
func Like(source []byte, notebook string, wish []byte) (map[string]any, error) {
	var c cluster
	var asked New
	if err := errors.Join(json.Unmarshal(source, &c), json.Unmarshal(wish, &asked)); err != nil {
		return nil, err
	}
	at := c.Ec2InstanceAttributes
	if at.Ec2SubnetId == "" || c.ServiceRole == "" || at.IamInstanceProfile == "" {
		return nil, fmt.Errorf("cluster %s says no subnet, service role or instance profile", c.Id)
	}
	groups := []group{{"MASTER", asked.InstanceType, 1}}
	if asked.Instances > 1 {
		groups = append(groups, group{"CORE", asked.InstanceType, asked.Instances - 1})
	}
	instances := map[string]any{"KeepJobFlowAliveWhenNoSteps": true, "Ec2SubnetId": at.Ec2SubnetId, "InstanceGroups": groups}
	give := func(into map[string]any, name, value string) {
		if value != "" {
			into[name] = value
		}
	}
	give(instances, "EmrManagedMasterSecurityGroup", at.EmrManagedMasterSecurityGroup)
	give(instances, "EmrManagedSlaveSecurityGroup", at.EmrManagedSlaveSecurityGroup)
	give(instances, "ServiceAccessSecurityGroup", at.ServiceAccessSecurityGroup)
	release := asked.ReleaseLabel
	if release == "" {
		release = c.ReleaseLabel
	}
	request := map[string]any{
		"Name": "nightshift-" + notebook, "ReleaseLabel": release, "Applications": c.Applications, "ServiceRole": c.ServiceRole,
		"JobFlowRole": at.IamInstanceProfile, "Instances": instances,
		"AutoTerminationPolicy": map[string]any{"IdleTimeout": int64(IdleLimit / time.Second)},
		"Tags": append(slices.DeleteFunc(c.Tags, func(t tag) bool { return t.Key == TagNotebook || strings.HasPrefix(t.Key, "aws:") }),
			tag{TagNotebook, notebook}),
	}
	give(request, "SecurityConfiguration", c.SecurityConfiguration)
	if len(c.Configurations) > 0 {
		request["Configurations"] = c.Configurations
	}
	return request, nil
}
