package accountsim

import (
	"cmp"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// The names of requests and answers are AWS's.

// pageSize is how much one answer holds: little, so that pages are met.
const pageSize = 2

// page is the part of a list from a token on, and the token of the next part.
func page[T any](all []T, token string) (part []T, next *string) {
	from, _ := strconv.Atoi(token) // our own; what is not, begins at the beginning
	from = min(max(from, 0), len(all))
	to := min(from+pageSize, len(all))
	if to < len(all) {
		text := strconv.Itoa(to)
		next = &text
	}
	return all[from:to], next
}

type paged struct{ NextToken string }

func listInstances(w *World, region string, in paged) (any, *refusal) {
	all := w.Instances
	if region != w.HomeRegion {
		all = nil // Identity Center is in one Region
	}
	part, next := page(all, in.NextToken)
	return map[string]any{"Instances": part, "NextToken": next}, nil
}

func getApplicationSession(w *World, _ string, in struct{ ApplicationArn string }) (any, *refusal) {
	status, there := w.Applications[in.ApplicationArn]
	if !there {
		return nil, no("ResourceNotFoundException", "Application %s does not exist", in.ApplicationArn)
	}
	return map[string]string{"UserBackgroundSessionApplicationStatus": status}, nil
}

func listUsers(w *World, _ string, in struct {
	IdentityStoreId string //nolint:revive,stylecheck // the name is AWS's
	NextToken       string
}) (any, *refusal) {
	n, there := w.Stores[in.IdentityStoreId]
	if !there {
		return nil, no("ResourceNotFoundException", "IDENTITY_STORE not found.")
	}
	users := make([]map[string]string, n)
	for i := range users {
		users[i] = map[string]string{"UserId": "u-" + strconv.Itoa(i), "UserName": "u" + strconv.Itoa(i), "IdentityStoreId": in.IdentityStoreId}
	}
	from, _ := strconv.Atoi(in.NextToken)
	to := min(max(from, 0)+100, n) // as AWS: at most 100 to a page
	out := map[string]any{"Users": users[min(max(from, 0), n):to]}
	if to < n {
		out["NextToken"] = strconv.Itoa(to)
	}
	return out, nil
}

func describeTrails(w *World, _ string, _ struct{}) (any, *refusal) {
	all := []map[string]any{}
	for _, t := range w.Trails {
		all = append(all, map[string]any{"TrailARN": t.TrailARN, "Name": t.Name, "HomeRegion": t.HomeRegion, "IsMultiRegionTrail": t.IsMultiRegionTrail})
	}
	return map[string]any{"trailList": all}, nil
}

func (w *World) trail(name string) (Trail, *refusal) {
	i := slices.IndexFunc(w.Trails, func(t Trail) bool { return t.TrailARN == name || t.Name == name })
	if i < 0 {
		return Trail{}, no("TrailNotFoundException", "Unknown trail: %s", name)
	}
	return w.Trails[i], nil
}

func getTrailStatus(w *World, _ string, in struct{ Name string }) (any, *refusal) {
	t, not := w.trail(in.Name)
	return map[string]any{"IsLogging": t.IsLogging, "LatestDeliveryError": t.LatestDeliveryError}, not
}

func getEventSelectors(w *World, _ string, in struct{ TrailName string }) (any, *refusal) {
	t, not := w.trail(in.TrailName)
	out := map[string]any{"TrailARN": t.TrailARN}
	if t.Advanced != nil {
		out["AdvancedEventSelectors"] = t.Advanced
	} else {
		out["EventSelectors"] = []map[string]any{{"IncludeManagementEvents": t.ReadWriteType != "", "ReadWriteType": cmp.Or(t.ReadWriteType, "All")}}
	}
	return out, not
}

func lookupEvents(w *World, _ string, in struct {
	LookupAttributes []struct{ AttributeKey, AttributeValue string }
	MaxResults       int
}) (any, *refusal) {
	if len(in.LookupAttributes) > 1 {
		return nil, no("InvalidLookupAttributesException", "You can specify only one lookup attribute.")
	}
	found := []Event{}
	for _, e := range w.Events {
		fits := true
		for _, a := range in.LookupAttributes {
			fits = map[string]string{"EventName": e.EventName, "EventSource": e.EventSource}[a.AttributeKey] == a.AttributeValue
		}
		if fits && (in.MaxResults == 0 || len(found) < in.MaxResults) {
			found = append(found, e)
		}
	}
	return map[string]any{"Events": found}, nil
}

func (w *World) rule(bus, name string) (Rule, *refusal) {
	if bus == "" {
		bus = "default"
	}
	r, there := w.Rules[bus+"/"+name]
	if !there {
		return r, no("ResourceNotFoundException", "Rule %s does not exist on EventBus %s.", name, bus)
	}
	return r, nil
}

func describeRule(w *World, _ string, in struct{ Name, EventBusName string }) (any, *refusal) {
	r, not := w.rule(in.EventBusName, in.Name)
	return map[string]string{"Name": in.Name, "State": r.State, "EventPattern": r.Pattern, "EventBusName": in.EventBusName}, not
}

func listTargets(w *World, _ string, in struct{ Rule, EventBusName string }) (any, *refusal) {
	r, not := w.rule(in.EventBusName, in.Rule)
	targets := []map[string]string{}
	for i := range r.Targets {
		targets = append(targets, map[string]string{"Id": strconv.Itoa(i), "Arn": "arn:aws:sqs:" + w.Region + ":123456789012:queue"})
	}
	return map[string]any{"Targets": targets}, not
}

func listQuotas(w *World, _ string, in struct{ ServiceCode, NextToken string }) (any, *refusal) {
	if in.ServiceCode != "sagemaker" {
		return nil, no("NoSuchResourceException", "The request failed because the specified service does not exist.")
	}
	part, next := page(w.Quotas, in.NextToken)
	return map[string]any{"Quotas": part, "NextToken": next}, nil
}

func getFunction(w *World, name string) (any, *refusal) {
	env, there := w.Functions[name]
	if !there {
		return nil, &refusal{http.StatusNotFound, "ResourceNotFoundException", "Function not found: " + name}
	}
	return map[string]any{"FunctionName": name, "State": "Active", "Environment": map[string]any{"Variables": env}}, nil
}

func noEntity(format, name string) *refusal {
	r := no("NoSuchEntity", format, name)
	r.status = http.StatusNotFound
	return r
}

type roleAnswer struct {
	XMLName  xml.Name `xml:"https://iam.amazonaws.com/doc/2010-05-08/ GetRoleResponse"`
	Name     string   `xml:"GetRoleResult>Role>RoleName"`
	Document string   `xml:"GetRoleResult>Role>AssumeRolePolicyDocument"`
}

// getRole answers the trust policy escaped as in an address, as IAM does.
func getRole(w *World, form url.Values) (any, *refusal) {
	name := form.Get("RoleName")
	policy, there := w.Roles[name]
	if !there {
		return nil, noEntity("The role with name %s cannot be found.", name)
	}
	return roleAnswer{Name: name, Document: url.PathEscape(policy)}, nil
}

type profileAnswer struct {
	XMLName xml.Name `xml:"https://iam.amazonaws.com/doc/2010-05-08/ GetInstanceProfileResponse"`
	Roles   []string `xml:"GetInstanceProfileResult>InstanceProfile>Roles>member>Arn"`
}

func getProfile(w *World, form url.Values) (any, *refusal) {
	name := form.Get("InstanceProfileName")
	role, there := w.Profiles[name]
	if !there {
		return nil, noEntity("Instance Profile %s cannot be found.", name)
	}
	return profileAnswer{Roles: []string{role}}, nil
}

type ofCluster struct {
	ClusterId          string //nolint:revive,stylecheck // the name is AWS's
	InstanceGroupTypes []string
	InstanceFleetType  string
}

func (w *World) cluster(id string) (Cluster, *refusal) {
	c, there := w.Clusters[id]
	if !there {
		return c, no("InvalidRequestException", "Cluster id '%s' is not valid.", id)
	}
	return c, nil
}

func describeCluster(w *World, _ string, in ofCluster) (any, *refusal) {
	c, not := w.cluster(in.ClusterId)
	tags := []map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(c.Tags)) {
		tags = append(tags, map[string]string{"Key": k, "Value": c.Tags[k]})
	}
	kind := "INSTANCE_GROUP"
	if c.Fleet {
		kind = "INSTANCE_FLEET"
	}
	return map[string]any{"Cluster": map[string]any{
		"Id": in.ClusterId, "Status": map[string]string{"State": c.State}, "ReleaseLabel": c.ReleaseLabel, "SecurityConfiguration": c.SecurityConfiguration,
		"Ec2InstanceAttributes": map[string]string{"IamInstanceProfile": c.Profile}, "InstanceCollectionType": kind, "Configurations": c.Configurations, "Tags": tags,
	}}, not
}

func describeSecurity(w *World, _ string, in struct{ Name string }) (any, *refusal) {
	doc, there := w.Security[in.Name]
	if !there {
		return nil, no("InvalidRequestException", "Security configuration with name '%s' does not exist.", in.Name)
	}
	return map[string]string{"Name": in.Name, "SecurityConfiguration": doc}, nil
}

func listBootstraps(w *World, _ string, in ofCluster) (any, *refusal) {
	c, not := w.cluster(in.ClusterId)
	all := []map[string]string{}
	for _, b := range c.Bootstraps {
		all = append(all, map[string]string{"Name": b})
	}
	return map[string]any{"BootstrapActions": all}, not
}

// listClusterInstances refuses, as EMR does, to be asked for groups of a cluster of
// fleets and the other way round.
func listClusterInstances(w *World, _ string, in ofCluster) (any, *refusal) {
	c, not := w.cluster(in.ClusterId)
	if not == nil && (c.Fleet && len(in.InstanceGroupTypes) > 0 || !c.Fleet && in.InstanceFleetType != "") {
		return nil, no("InvalidRequestException", "Instance fleets and instance groups are mutually exclusive.")
	}
	all := []map[string]any{}
	for i := range c.Masters {
		all = append(all, map[string]any{"Id": "ci-" + strconv.Itoa(i), "Status": map[string]string{"State": "RUNNING"}})
	}
	return map[string]any{"Instances": all}, not
}

func describeDomain(w *World, _ string, in struct{ DomainId string }) (any, *refusal) { //nolint:revive,stylecheck // the name is AWS's
	d, there := w.Domains[in.DomainId]
	if !there {
		return nil, no("ResourceNotFound", "Unable to find Domain [%s]", in.DomainId)
	}
	out := map[string]any{"DomainId": in.DomainId, "Status": d.Status, "AuthMode": d.AuthMode, "SingleSignOnApplicationArn": d.Application,
		"DefaultUserSettings": map[string]string{"ExecutionRole": d.ExecutionRole}}
	if d.Propagation != "" {
		out["DomainSettings"] = map[string]any{"TrustedIdentityPropagationSettings": map[string]string{"Status": d.Propagation}}
	}
	return out, nil
}

func listDomains(w *World, _ string, in paged) (any, *refusal) {
	all := []map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(w.Domains)) {
		all = append(all, map[string]string{"DomainId": id, "Status": w.Domains[id].Status})
	}
	part, next := page(all, in.NextToken)
	return map[string]any{"Domains": part, "NextToken": next}, nil
}

func listSpaces(w *World, _ string, in struct{ DomainIdEquals, NextToken string }) (any, *refusal) {
	d := w.Domains[in.DomainIdEquals]
	all := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(d.Remote)) {
		all = append(all, map[string]any{"SpaceName": name, "DomainId": in.DomainIdEquals, "SpaceSettingsSummary": map[string]string{"RemoteAccess": d.Remote[name]}})
	}
	part, next := page(all, in.NextToken)
	return map[string]any{"Spaces": part, "NextToken": next}, nil
}
