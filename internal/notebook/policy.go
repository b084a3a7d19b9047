// Package notebook knows what an EMR notebook is beside its execution: who owns
// it, by which policies, and where it may run. It calls nothing.
package notebook

import (
	"encoding/json"
	"fmt"
	"strings"
)

// TagCreator is the tag that names a notebook's owner. EMR puts it on each
// notebook and Workspace; its value is the creator's aws:userid, and its case
// matters (Amazon EMR Management Guide, "Tag-based access control").
const (
	TagCreator    = "creatorUserId"
	TagDepartment = "department"
	TagCostCenter = "cost-center"
)

// Statement is one statement of an IAM policy.
type Statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Policy is an IAM policy document.
type Policy struct {
	Version   string
	Statement []Statement
}

// JSON is the document as IAM takes it.
func (p Policy) JSON() string {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		panic(err) // strings always are JSON
	}
	return string(text)
}

// The caller's own aws:userid; the spelling that IAM documents.
const self = "${aws:userid}"

func conditions(operator, key string, values ...string) map[string]map[string][]string {
	return map[string]map[string][]string{operator: {key: values}}
}

func resourceTag(tag string) string { return "elasticmapreduce:ResourceTag/" + tag }

func requestTag(tag string) string { return "elasticmapreduce:RequestTag/" + tag }

func arns(account string, kinds ...string) []string {
	var all []string
	for _, k := range kinds {
		all = append(all, fmt.Sprintf("arn:aws:elasticmapreduce:*:%s:%s/*", account, k))
	}
	return all
}

// toClusters are the actions that are authorized on the cluster of a notebook too
// (Amazon EMR Management Guide, "IAM policy actions for EMR Notebooks"). An execution of
// a notebook that lies in S3 names no notebook besides: its cluster is all there is.
var toClusters = []string{
	"elasticmapreduce:CreateEditor", "elasticmapreduce:StartEditor", "elasticmapreduce:OpenEditorInConsole", "elasticmapreduce:AttachEditor",
	"elasticmapreduce:StartNotebookExecution",
}

// OwnPolicy lets the users of an account see, start, stop, edit and delete their
// own notebooks and nobody else's, on clusters that no other policy denies them; it
// forces the owner's tag at creation and forbids to change it (S5.2). Tagging is denied explicitly, as some other policy
// may allow it: who may set the tag could take any notebook over.
func OwnPolicy(account string) Policy {
	notebooks := arns(account, "editor", "notebook-execution")
	mine := conditions("StringEquals", resourceTag(TagCreator), self)
	return Policy{"2012-10-17", []Statement{
		{"OwnNotebooks", "Allow", []string{
			"elasticmapreduce:DescribeEditor", "elasticmapreduce:StartEditor", "elasticmapreduce:StopEditor", "elasticmapreduce:DeleteEditor",
			"elasticmapreduce:OpenEditorInConsole", "elasticmapreduce:AttachEditor", "elasticmapreduce:DetachEditor", "elasticmapreduce:UpdateEditor",
			"elasticmapreduce:DescribeNotebookExecution", "elasticmapreduce:StartNotebookExecution", "elasticmapreduce:StopNotebookExecution",
		}, notebooks, mine},
		{"OnClusters", "Allow", toClusters, arns(account, "cluster"), nil},
		{"CreateAsOneself", "Allow", []string{"elasticmapreduce:CreateEditor", "elasticmapreduce:AddTags"}, notebooks,
			conditions("StringEquals", requestTag(TagCreator), self)},
		{"ListNotebooks", "Allow", []string{"elasticmapreduce:ListEditors", "elasticmapreduce:ListNotebookExecutions"}, []string{"*"}, nil},
		{"NotOthers", "Deny", []string{"elasticmapreduce:*"}, notebooks, map[string]map[string][]string{
			"StringNotEquals": {resourceTag(TagCreator): {self}}, "Null": {resourceTag(TagCreator): {"false"}}}},
		{"NoCreationForOthers", "Deny", []string{"elasticmapreduce:CreateEditor", "elasticmapreduce:StartNotebookExecution"},
			arns(account, "editor", "notebook-execution", "cluster"), conditions("StringNotEquals", requestTag(TagCreator), self)},
		{"OwnerStays", "Deny", []string{"elasticmapreduce:AddTags", "elasticmapreduce:RemoveTags"}, notebooks, map[string]map[string][]string{
			"ForAnyValue:StringEqualsIgnoreCase": {"aws:TagKeys": {TagCreator}}, "Null": {resourceTag(TagCreator): {"false"}}}},
	}}
}

// DepartmentPolicy binds a notebook's department to a cluster's cost-center: a
// notebook starts only where both are the department of the user's own principal
// tag (S5.2). What starts, opens or attaches it is authorized on the
// notebook and on the cluster; both must be allowed. Who creates a notebook may give
// it their own department only; later neither tag changes: who could tag a cluster
// could take it over.
func DepartmentPolicy(account string) Policy {
	start := []string{"elasticmapreduce:StartEditor", "elasticmapreduce:AttachEditor", "elasticmapreduce:StartNotebookExecution"}
	retag := []string{"elasticmapreduce:AddTags", "elasticmapreduce:RemoveTags"}
	department := "${aws:PrincipalTag/" + TagDepartment + "}"
	return Policy{"2012-10-17", []Statement{
		{"NotebookOfDepartment", "Allow", start, arns(account, "editor"), map[string]map[string][]string{
			"StringEquals": {resourceTag(TagDepartment): {department}}}},
		{"ClusterOfDepartment", "Allow", toClusters, arns(account, "cluster"), conditions("StringEquals", resourceTag(TagCostCenter), department)},
		{"NoOtherCluster", "Deny", toClusters, arns(account, "cluster"), conditions("StringNotEquals", resourceTag(TagCostCenter), department)},
		{"NoOtherNotebook", "Deny", start, arns(account, "editor"), conditions("StringNotEquals", resourceTag(TagDepartment), department)},
		{"NoOtherDepartment", "Deny", []string{"elasticmapreduce:CreateEditor", "elasticmapreduce:AddTags"}, arns(account, "editor"), map[string]map[string][]string{
			"StringNotEquals": {requestTag(TagDepartment): {department}}, "Null": {requestTag(TagDepartment): {"false"}}}},
		{"DepartmentStays", "Deny", retag, arns(account, "editor"), map[string]map[string][]string{
			"ForAnyValue:StringEqualsIgnoreCase": {"aws:TagKeys": {TagDepartment}}, "Null": {resourceTag(TagDepartment): {"false"}}}},
		{"CostCenterStays", "Deny", retag, arns(account, "cluster"), conditions("ForAnyValue:StringEqualsIgnoreCase", "aws:TagKeys", TagDepartment, TagCostCenter)},
	}}
}

// UserOf is the Identity Center user name behind an aws:userid, the value of
// creatorUserId: for a role that Identity Center gave, it is AROA…:<user name>,
// as Identity Center names the role's session after the user. ok is false for
// everything else: an IAM user's id (AIDA…) and other services' sessions name no
// user of Identity Center. The name is only as good as the role: callers must
// know that the role is one of Identity Center's (AWSReservedSSO_…).
func UserOf(userID string) (userName string, ok bool) {
	role, name, found := strings.Cut(userID, ":")
	if !found || !strings.HasPrefix(role, "AROA") || name == "" || strings.HasPrefix(name, "i-") {
		return "", false
	}
	return name, true
}
