package main_test

import (
	"fmt"
	"testing"

	"nightshift/statemachines"
)

const emrClusters = "arn:aws:elasticmapreduce:us-east-1:123456789012:cluster/*"

// S5.1: move-notebook makes and ends only clusters that carry a notebook's tag, with
// the roles that are named; without such roles it makes none. S4.4: checkpoints are
// listed where it is configured and nowhere else.
func TestConditionsOfNotebooksAndCheckpoints(t *testing.T) {
	machine := func(x template) map[string]statement {
		pair, _ := at(x.named(t, "AWS::StepFunctions::StateMachine", "StateMachineName", statemachines.MoveNotebook).Properties, "RoleArn", "Fn::GetAtt").([]any)
		return bySid(t, x, pair[0].(string))
	}
	function := func(x template, name string) map[string]statement {
		return bySid(t, x, roleOf(x.named(t, "AWS::Lambda::Function", "FunctionName", name)))
	}
	of := machine(full(t))
	for sid, want := range map[string]string{
		"CreateCluster":    "map[Null:map[elasticmapreduce:RequestTag/nightshift:notebook:false]]",
		"TagCluster":       "map[Null:map[elasticmapreduce:RequestTag/nightshift:notebook:false]]",
		"TerminateCluster": "map[Null:map[elasticmapreduce:ResourceTag/nightshift:notebook:false]]",
		"PassClusterRoles": "map[StringEquals:map[iam:PassedToService:[elasticmapreduce.amazonaws.com ec2.amazonaws.com]]]",
	} {
		if got := fmt.Sprint(of[sid].condition); got != want {
			t.Errorf("S5.1 %s is under %s, want %s", sid, got, want)
		}
	}
	for _, sid := range []string{"CreateCluster", "TagCluster", "PassClusterRoles"} {
		if _, may := machine(bare(t))[sid]; may {
			t.Errorf("S5.1 without roles for clusters it may %s", sid)
		}
	}
	for _, name := range []string{"run-effects", "on-schedule"} {
		of := function(full(t), name)
		for sid, want := range map[string]string{
			"CheckpointsResearchData": "[arn:aws:s3:::research-data] map[StringLike:map[s3:prefix:[checkpoints/* models/*]]]",
			"CheckpointsChurnRuns":    "[arn:aws:s3:::churn-runs] map[StringLike:map[s3:prefix:[*]]]",
		} {
			if got := fmt.Sprint(of[sid].resources, " ", of[sid].condition); got != want {
				t.Errorf("S4.4 %s, %s: %s, want %s", name, sid, got, want)
			}
		}
	}
}

func bySid(t *testing.T, x template, role string) map[string]statement {
	t.Helper()
	all, _ := x.statements(t, role)
	by := map[string]statement{}
	for _, s := range all {
		by[s.sid] = s
	}
	return by
}
