package main_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nightshift/statemachines"
)

// What the roles of the machines about virtual clusters may, as TestMachines
// writes it.
const (
	virtualClusters = "arn:aws:emr-containers:us-east-1:123456789012:/virtualclusters/*"

	createsCluster    = "[emr-containers:CreateVirtualCluster] [*]"
	tagsCluster       = "[emr-containers:TagResource] [" + virtualClusters + "]"
	serviceLinkedRole = "[iam:CreateServiceLinkedRole] [arn:aws:iam::123456789012:role/aws-service-role/emr-containers.amazonaws.com/AWSServiceRoleForAmazonEMRContainers]"
	deletesCluster    = "[emr-containers:DeleteVirtualCluster] [" + virtualClusters + "]"
	describesCluster  = "[emr-containers:DescribeVirtualCluster] [" + virtualClusters + "]"
	startsJobRun      = "[emr-containers:StartJobRun] [" + virtualClusters + "]"
	followsJobRun     = "[emr-containers:DescribeJobRun emr-containers:CancelJobRun] [" + virtualClusters + "/jobruns/*]"
	tagsJobRun        = "[emr-containers:TagResource] [" + virtualClusters + " " + virtualClusters + "/jobruns/*]"
)

// needs are the actions of each resource that a Task can have: those of the
// developer guide, and TagResource, without which a request with tags is refused.
var needs = map[string]string{
	"arn:aws:states:::emr-containers:createVirtualCluster":          "emr-containers:CreateVirtualCluster emr-containers:TagResource iam:CreateServiceLinkedRole",
	"arn:aws:states:::emr-containers:deleteVirtualCluster.sync":     "emr-containers:DeleteVirtualCluster emr-containers:DescribeVirtualCluster",
	"arn:aws:states:::aws-sdk:emrcontainers:describeVirtualCluster": "emr-containers:DescribeVirtualCluster",
	"arn:aws:states:::emr-containers:startJobRun.sync":              "emr-containers:CancelJobRun emr-containers:DescribeJobRun emr-containers:StartJobRun emr-containers:TagResource",
	"arn:aws:states:::aws-sdk:emr:describeCluster":                  "elasticmapreduce:DescribeCluster",
	"arn:aws:states:::aws-sdk:emr:runJobFlow":                       "elasticmapreduce:AddTags elasticmapreduce:RunJobFlow iam:PassRole",
	"arn:aws:states:::aws-sdk:emr:terminateJobFlows":                "elasticmapreduce:TerminateJobFlows",
	"arn:aws:states:::aws-sdk:emr:listClusters":                     "elasticmapreduce:ListClusters",
	"arn:aws:states:::aws-sdk:emr:listBootstrapActions":             "elasticmapreduce:ListBootstrapActions",
	"arn:aws:states:::aws-sdk:ec2:describeSubnets":                  "ec2:DescribeSubnets",
	"arn:aws:states:::lambda:invoke":                                "lambda:InvokeFunction",
	"arn:aws:states:::lambda:invoke.waitForTaskToken":               "lambda:InvokeFunction",
	"arn:aws:states:::states:startExecution":                        "states:StartExecution",
}

// S4.3: each machine may what the resources in its definition need: nothing is
// missing, and there is nothing more.
func TestMachinesMayWhatTheirResourcesNeed(t *testing.T) {
	x := full(t)
	looked := 0
	for _, name := range statemachines.Names() {
		var definition struct {
			States map[string]struct{ Resource string }
		}
		if err := json.Unmarshal(statemachines.Definition(name), &definition); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, s := range definition.States {
			if s.Resource == "" {
				continue
			}
			if looked++; needs[s.Resource] == "" {
				t.Errorf("%s: nobody says what %s needs", name, s.Resource)
			}
			want = append(want, strings.Fields(needs[s.Resource])...)
		}
		pair, _ := at(x.named(t, "AWS::StepFunctions::StateMachine", "StateMachineName", name).Properties, "RoleArn", "Fn::GetAtt").([]any)
		all, _ := x.statements(t, pair[0].(string))
		var got []string
		for _, s := range all {
			if s.sid != "" {
				got = append(got, s.actions...)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if want, got = slices.Compact(want), slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%s may %v\nits resources need %v", name, got, want)
		}
	}
	if looked < 12 {
		t.Errorf("%d tasks were looked at", looked)
	}
}

// A job run is started with a role that is named, and the linked role is EMR's;
// without roles for runs none is started.
func TestConditionsOfVirtualClusters(t *testing.T) {
	conditions := func(x template, machine string) map[string]string {
		pair, _ := at(x.named(t, "AWS::StepFunctions::StateMachine", "StateMachineName", machine).Properties, "RoleArn", "Fn::GetAtt").([]any)
		all, _ := x.statements(t, pair[0].(string))
		by := map[string]string{}
		for _, s := range all {
			by[s.sid] = fmt.Sprint(s.condition)
		}
		return by
	}
	if got, want := conditions(full(t), statemachines.SubmitJobRun)["StartJobRun"], "map[StringEquals:map[emr-containers:ExecutionRoleArn:[arn:aws:iam::123456789012:role/training]]]"; got != want {
		t.Errorf("a job run is started under %s, want %s", got, want)
	}
	if got, want := conditions(full(t), statemachines.CreateVirtualCluster)["CreateServiceLinkedRole"], "map[StringEquals:map[iam:AWSServiceName:emr-containers.amazonaws.com]]"; got != want {
		t.Errorf("the linked role is made under %s, want %s", got, want)
	}
	if c, starts := conditions(bare(t), statemachines.SubmitJobRun)["StartJobRun"]; starts {
		t.Errorf("without roles for runs it may start them under %s", c)
	}
}
