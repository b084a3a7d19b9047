package notebook

import (
	"encoding/json"
	"testing"
)

const (
	ana = "AROAEXAMPLE:ana@example.com"
	bo  = "AROAEXAMPLE:bo@example.com"
)

func principal(id, department string) map[string]string {
	return map[string]string{"aws:userid": id, "aws:PrincipalTag/department": department}
}

func tags(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

// TestS5_2Policies is the table of who may do what to which notebook.
func TestS5_2Policies(t *testing.T) {
	t.Parallel()
	own, dep := OwnPolicy("123456789012"), DepartmentPolicy("123456789012")
	editor := func(kv ...string) resource { return resource{"editor", tags(kv...)} }
	cluster := func(kv ...string) resource { return resource{"cluster", tags(kv...)} }
	anas, bos := editor(TagCreator, ana, TagDepartment, "risk"), editor(TagCreator, bo, TagDepartment, "risk")
	all := Policy{"2012-10-17", []Statement{{"Everything", "Allow", []string{"elasticmapreduce:*"}, []string{"*"}, nil}}}
	p := principal(ana, "risk")
	for _, c := range []struct {
		name     string
		action   string
		sent     map[string]string
		on       []resource
		policies []Policy
		want     bool
	}{
		{"see one's own", "DescribeEditor", nil, []resource{anas}, []Policy{own}, true},
		{"see another's", "DescribeEditor", nil, []resource{bos}, []Policy{own}, false},
		{"see another's although all is allowed", "DescribeEditor", nil, []resource{bos}, []Policy{own, all}, false},
		{"see an untagged one", "DescribeEditor", nil, []resource{editor()}, []Policy{own}, false},
		{"a tag of another case is no owner's", "DescribeEditor", nil, []resource{editor("creatorUserID", ana)}, []Policy{own}, false},
		{"stop one's own", "StopEditor", nil, []resource{anas}, []Policy{own}, true},
		{"delete another's", "DeleteEditor", nil, []resource{bos}, []Policy{own, all}, false},
		{"open one's own", "OpenEditorInConsole", nil, []resource{anas}, []Policy{own}, true},
		{"edit one's own", "UpdateEditor", nil, []resource{anas}, []Policy{own}, true},
		{"stop one's own execution", "StopNotebookExecution", nil, []resource{{"notebook-execution", tags(TagCreator, ana)}}, []Policy{own}, true},
		{"stop another's execution", "StopNotebookExecution", nil, []resource{{"notebook-execution", tags(TagCreator, bo)}}, []Policy{own, all}, false},
		{"list", "ListEditors", nil, []resource{{"editor", nil}}, []Policy{own}, true},
		{"create as oneself", "CreateEditor", tags(TagCreator, ana), []resource{editor()}, []Policy{own}, true},
		{"create as another", "CreateEditor", tags(TagCreator, bo), []resource{editor()}, []Policy{own, all}, false},
		{"create without the tag", "CreateEditor", nil, []resource{editor()}, []Policy{own, all}, false},
		{"create with the tag in another case", "CreateEditor", tags("CREATORUSERID", ana), []resource{editor()}, []Policy{own, all}, false},
		{"tag at creation", "AddTags", tags(TagCreator, ana), []resource{editor()}, []Policy{own}, true},
		{"give one's own away", "AddTags", tags(TagCreator, bo), []resource{anas}, []Policy{own, all}, false},
		{"take another's", "AddTags", tags(TagCreator, ana), []resource{bos}, []Policy{own, all}, false},
		{"take the tag off", "RemoveTags", tags(TagCreator, ""), []resource{anas}, []Policy{own, all}, false},
		{"take the tag off in another case", "RemoveTags", tags("CreatorUserID", ""), []resource{anas}, []Policy{own, all}, false},
		{"another tag on one's own", "AddTags", tags("colour", "red"), []resource{anas}, []Policy{own, all}, true},

		{"start one's own", "StartEditor", nil, []resource{anas, cluster()}, []Policy{own}, true},
		{"start another's", "StartEditor", nil, []resource{bos, cluster()}, []Policy{own, all}, false},
		{"start an untagged one", "StartEditor", nil, []resource{editor(), cluster()}, []Policy{own}, false},
		{"execute one's own as oneself", "StartNotebookExecution", tags(TagCreator, ana), []resource{anas, cluster()}, []Policy{own}, true},
		{"execute one's own without the tag", "StartNotebookExecution", nil, []resource{anas, cluster()}, []Policy{own, all}, false},
		{"execute one from S3 as oneself", "StartNotebookExecution", tags(TagCreator, ana), []resource{cluster()}, []Policy{own}, true},
		{"execute one from S3 without the tag", "StartNotebookExecution", nil, []resource{cluster()}, []Policy{own, all}, false},
		{"execute one from S3 as another", "StartNotebookExecution", tags(TagCreator, bo), []resource{cluster()}, []Policy{own, all}, false},
		{"open one's own on its cluster", "OpenEditorInConsole", nil, []resource{anas, cluster()}, []Policy{own}, true},
		{"create for a cluster", "CreateEditor", tags(TagCreator, ana), []resource{editor(), cluster()}, []Policy{own}, true},
		{"create for a cluster, as another", "CreateEditor", tags(TagCreator, bo), []resource{cluster()}, []Policy{own, all}, false},
		{"attach to another department's cluster", "AttachEditor", nil, []resource{anas, cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},
		{"attach to one's department's cluster", "AttachEditor", nil, []resource{anas, cluster(TagCostCenter, "risk")}, []Policy{own, dep}, true},
		{"attach another department's notebook", "AttachEditor", nil, []resource{editor(TagCreator, ana, TagDepartment, "sales"), cluster(TagCostCenter, "risk")}, []Policy{own, dep, all}, false},
		{"create for another department's cluster", "CreateEditor", tags(TagCreator, ana, TagDepartment, "risk"), []resource{editor(), cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},
		{"open on another department's cluster", "OpenEditorInConsole", nil, []resource{anas, cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},
		{"execute one from S3 on another department's cluster", "StartNotebookExecution", tags(TagCreator, ana), []resource{cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},
		{"execute another's", "StartNotebookExecution", tags(TagCreator, ana), []resource{bos, cluster()}, []Policy{own, all}, false},

		{"create in one's department", "CreateEditor", tags(TagCreator, ana, TagDepartment, "risk"), []resource{editor()}, []Policy{own, dep}, true},
		{"create in another department", "CreateEditor", tags(TagCreator, ana, TagDepartment, "sales"), []resource{editor()}, []Policy{own, dep, all}, false},
		{"tag with one's department at creation", "AddTags", tags(TagCreator, ana, TagDepartment, "risk"), []resource{editor()}, []Policy{own, dep}, true},
		{"tag with another department at creation", "AddTags", tags(TagCreator, ana, TagDepartment, "sales"), []resource{editor()}, []Policy{own, dep, all}, false},
		{"take the department off", "RemoveTags", tags(TagDepartment, ""), []resource{anas}, []Policy{own, dep, all}, false},
		{"take an untagged cluster for one's cost center", "AddTags", tags(TagCostCenter, "risk"), []resource{cluster()}, []Policy{own, dep, all}, false},
		{"take the cost center off", "RemoveTags", tags("Cost-Center", ""), []resource{cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},

		{"start in one's department", "StartEditor", nil, []resource{anas, cluster(TagCostCenter, "risk")}, []Policy{own, dep}, true},
		{"start on another department's cluster", "StartEditor", nil, []resource{anas, cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},
		{"start on an untagged cluster", "StartEditor", nil, []resource{anas, cluster()}, []Policy{own, dep, all}, false},
		{"start another department's notebook", "StartEditor", nil, []resource{editor(TagCreator, ana, TagDepartment, "sales"), cluster(TagCostCenter, "risk")}, []Policy{own, dep, all}, false},
		{"start another's in one's department", "StartEditor", nil, []resource{bos, cluster(TagCostCenter, "risk")}, []Policy{own, dep, all}, false},
		{"start an execution as oneself", "StartNotebookExecution", tags(TagCreator, ana), []resource{anas, cluster(TagCostCenter, "risk")}, []Policy{own, dep}, true},
		{"start an execution without the tag", "StartNotebookExecution", nil, []resource{anas, cluster(TagCostCenter, "risk")}, []Policy{own, dep}, false},
		{"start an execution for another", "StartNotebookExecution", tags(TagCreator, bo), []resource{anas, cluster(TagCostCenter, "risk")}, []Policy{own, dep, all}, false},
		{"move the notebook to another department", "AddTags", tags(TagDepartment, "sales"), []resource{anas}, []Policy{own, dep, all}, false},
		{"move the cluster to another cost center", "AddTags", tags(TagCostCenter, "risk"), []resource{cluster(TagCostCenter, "sales")}, []Policy{own, dep, all}, false},
	} {
		r := request{action: "elasticmapreduce:" + c.action, principal: p, sent: c.sent, resources: c.on}
		if got := allows(r, c.policies...); got != c.want {
			t.Errorf("S5.2 %s: allowed %t, want %t", c.name, got, c.want)
		}
	}
	// A user without a department starts nothing, also where the tags are empty.
	r := request{action: "elasticmapreduce:StartEditor", principal: map[string]string{"aws:userid": ana}, resources: []resource{anas, cluster(TagCostCenter, "risk")}}
	if allows(r, own, dep, all) {
		t.Error("S5.2 a user without a department may start a notebook")
	}
	for _, doc := range []Policy{own, dep} {
		if !json.Valid([]byte(doc.JSON())) || len(doc.JSON()) > 6144 {
			t.Errorf("a managed policy has at most 6,144 characters; this has %d", len(doc.JSON()))
		}
	}
}

func TestS5_2UserOf(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"AROAEXAMPLE:ana@example.com": "ana@example.com", "AROAEXAMPLE:ana": "ana",
		"AIDAEXAMPLE": "", "AROAEXAMPLE": "", "AROAEXAMPLE:": "", "AROAEXAMPLE:i-0123456789abcdef0": "", "": "", "123456789012:ana": "",
	} {
		if got, ok := UserOf(id); got != want || ok != (want != "") {
			t.Errorf("S5.2 %q: %q, %t", id, got, ok)
		}
	}
}
