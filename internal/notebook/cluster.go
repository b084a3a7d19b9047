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
	Id, ReleaseLabel, ServiceRole string
	Status                        struct {
		State             string
		StateChangeReason struct{ Message string }
	}
	Applications          []struct{ Name string }
	Ec2InstanceAttributes struct{ Ec2SubnetId, IamInstanceProfile string }
	KerberosAttributes    struct{ Realm string }
	Tags                  []tag
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

// action is a bootstrap action of ListBootstrapActions' answer.
type action struct {
	Name, ScriptPath string
	Args             []string
}

// What of DescribeCluster's answer a new cluster is given, under the same name in
// RunJobFlow's request and in its Instances; and what of it is no setting, or is given
// otherwise. Whatever else an answer holds is said to be left out.
var (
	given = []string{"LogUri", "LogEncryptionKmsKeyId", "SecurityConfiguration", "Configurations", "CustomAmiId", "OSReleaseLabel", "RepoUpgradeOnBoot",
		"EbsRootVolumeSize", "EbsRootVolumeIops", "EbsRootVolumeThroughput", "ScaleDownBehavior", "StepConcurrencyLevel"}
	givenThere = []string{"EmrManagedMasterSecurityGroup", "EmrManagedSlaveSecurityGroup", "ServiceAccessSecurityGroup",
		"AdditionalMasterSecurityGroups", "AdditionalSlaveSecurityGroups", "Ec2KeyName"}
	passed = []string{"Id", "Name", "ClusterArn", "Status", "ReleaseLabel", "ServiceRole", "Applications", "Tags", "Ec2InstanceAttributes", "MasterPublicDnsName",
		"NormalizedInstanceHours", "AutoTerminate", "TerminationProtected", "UnhealthyNodeReplacement", "VisibleToAllUsers", "InstanceCollectionType", "RequestedAmiVersion", "RunningAmiVersion"}
	passedThere = []string{"Ec2SubnetId", "RequestedEc2SubnetIds", "Ec2AvailabilityZone", "RequestedEc2AvailabilityZones", "IamInstanceProfile"}
)

// Like is the request (RunJobFlow), but for its name, for a cluster like the one that a
// notebook leaves: of its release, applications, roles, settings, network, bootstrap
// actions, logs and tags, so that who may use the one may use the other. actions is
// ListBootstrapActions' answer, wish a New as JSON. One node is primary node and
// worker at once. note says, as a sentence, what the new cluster is not given.
func Like(source, actions []byte, notebook string, wish []byte) (request map[string]any, note string, err error) {
	var c cluster
	var asked New
	var told struct {
		BootstrapActions []action
		Marker           string
	}
	var all, there map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(source, &c), json.Unmarshal(source, &all), json.Unmarshal(actions, &told), json.Unmarshal(wish, &asked)); err != nil {
		return nil, "", err
	}
	at := c.Ec2InstanceAttributes
	switch {
	case at.Ec2SubnetId == "" || c.ServiceRole == "" || at.IamInstanceProfile == "":
		return nil, "", fmt.Errorf("cluster %s says no subnet, service role or instance profile", c.Id)
	case c.KerberosAttributes.Realm != "":
		return nil, "", fmt.Errorf("cluster %s uses Kerberos, whose passwords EMR does not tell: make a cluster by hand, and name it", c.Id)
	case told.Marker != "":
		return nil, "", fmt.Errorf("cluster %s has more bootstrap actions than one answer tells: make a cluster by hand, and name it", c.Id)
	}
	if err := json.Unmarshal(all["Ec2InstanceAttributes"], &there); err != nil {
		return nil, "", err
	}
	groups := []group{{"MASTER", asked.InstanceType, 1}}
	if asked.Instances > 1 {
		groups = append(groups, group{"CORE", asked.InstanceType, asked.Instances - 1})
	}
	instances := map[string]any{"KeepJobFlowAliveWhenNoSteps": true, "Ec2SubnetId": at.Ec2SubnetId, "InstanceGroups": groups}
	request = map[string]any{
		"ReleaseLabel": c.ReleaseLabel, "Applications": c.Applications, "ServiceRole": c.ServiceRole,
		"JobFlowRole": at.IamInstanceProfile, "Instances": instances,
		"AutoTerminationPolicy": map[string]any{"IdleTimeout": int64(IdleLimit / time.Second)},
		"Tags": append(slices.DeleteFunc(c.Tags, func(t tag) bool { return t.Key == TagNotebook || strings.HasPrefix(t.Key, "aws:") }),
			tag{TagNotebook, notebook}),
	}
	settings := given
	if asked.ReleaseLabel != "" && asked.ReleaseLabel != c.ReleaseLabel {
		request["ReleaseLabel"] = asked.ReleaseLabel
		settings = slices.DeleteFunc(slices.Clone(given), func(name string) bool { return name == "OSReleaseLabel" || name == "CustomAmiId" }) // of the old release
	}
	var boot []map[string]any
	for _, a := range told.BootstrapActions {
		boot = append(boot, map[string]any{"Name": a.Name, "ScriptBootstrapAction": map[string]any{"Path": a.ScriptPath, "Args": append([]string{}, a.Args...)}})
	}
	if len(boot) > 0 {
		request["BootstrapActions"] = boot
	}
	left := append(give(request, all, settings, passed), give(instances, there, givenThere, passedThere)...)
	return request, "The new cluster is like " + c.Id + ", but for what is not copied: " + strings.Join(append(left, "steps", "policies of scaling and of termination"), ", ") + ".", nil
}

// give copies the named settings, and answers the others that say something and are
// not passed over.
func give(into map[string]any, from map[string]json.RawMessage, given, passed []string) (left []string) {
	for name, value := range from {
		switch text := string(value); {
		case slices.Contains([]string{"", "null", `""`, "[]", "{}", "0", "false"}, text):
		case slices.Contains(given, name):
			into[name] = value
		case !slices.Contains(passed, name):
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return left
}
