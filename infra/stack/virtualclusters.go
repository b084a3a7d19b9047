package stack

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"nightshift/statemachines"
)

// integrated gives a machine's role what Step Functions needs to carry out each
// resource of another service that the machine's definition names, in the
// machine's own account and region; nothing else. What each needs is the
// developer guide's: IAM policies for Amazon EMR on EKS.
func (d *deployment) integrated(name string, role awsiam.Role) {
	definition := string(statemachines.Definition(name))
	given := map[string]bool{}
	for _, integration := range statemachines.Integrations() {
		if !strings.Contains(definition, `"`+integration+`"`) {
			continue
		}
		for _, g := range d.integrationGrants(integration) {
			if !given[g.sid] { // looking at what is deleted needs what the deletion does
				d.allow(role, g)
			}
			given[g.sid] = true
		}
	}
}

func (d *deployment) integrationGrants(integration string) []grant {
	const (
		clusters = "arn:${P}:emr-containers:${R}:${A}:/virtualclusters/*"
		runs     = clusters + "/jobruns/*"
		whyNew   = "Virtual clusters have ids that nobody knows before; only those of this account and region."
		whyRuns  = "Job runs have ids that nobody knows before, and callers name virtual clusters; only those of this account and region."
	)
	describe := grant{sid: "DescribeVirtualCluster", actions: []string{"emr-containers:DescribeVirtualCluster"}, resources: []resource{arn(clusters)}, why: whyNew}
	switch strings.TrimPrefix(integration, "arn:aws:states:::") {
	case "emr-containers:createVirtualCluster":
		return []grant{{
			sid: "CreateVirtualCluster", actions: []string{"emr-containers:CreateVirtualCluster"}, resources: anything(),
			why: "EMR on EKS's CreateVirtualCluster knows no resources (service authorization reference).",
		}, {
			sid: "CreateServiceLinkedRole", actions: []string{"iam:CreateServiceLinkedRole"},
			resources: exact(arn("arn:${P}:iam::${A}:role/aws-service-role/emr-containers.amazonaws.com/AWSServiceRoleForAmazonEMRContainers").arn),
			condition: map[string]any{"StringEquals": map[string]any{"iam:AWSServiceName": "emr-containers.amazonaws.com"}},
		}, {
			sid: "TagVirtualCluster", actions: []string{"emr-containers:TagResource"}, resources: []resource{arn(clusters)}, why: whyNew,
		}}
	case "emr-containers:deleteVirtualCluster.sync":
		return []grant{{sid: "DeleteVirtualCluster", actions: []string{"emr-containers:DeleteVirtualCluster"}, resources: []resource{arn(clusters)}, why: whyNew}, describe}
	case "aws-sdk:emrcontainers:describeVirtualCluster":
		return []grant{describe}
	case "emr-containers:startJobRun.sync":
		all := []grant{{
			sid: "FollowJobRun", actions: []string{"emr-containers:DescribeJobRun", "emr-containers:CancelJobRun"}, resources: []resource{arn(runs)}, why: whyRuns,
		}}
		if len(d.runRoles) == 0 {
			return all // there is no role that a job run may be given
		}
		return append(all, grant{
			sid: "StartJobRun", actions: []string{"emr-containers:StartJobRun"}, resources: []resource{arn(clusters)}, why: whyRuns,
			condition: map[string]any{"StringEquals": map[string]any{"emr-containers:ExecutionRoleArn": texts(d.runRoles...)}},
		}, grant{
			sid: "TagJobRun", actions: []string{"emr-containers:TagResource"}, resources: []resource{arn(clusters), arn(runs)}, why: whyRuns,
		})
	}
	if all, known := d.notebookMachineGrants(strings.TrimPrefix(integration, "arn:aws:states:::")); known {
		return all
	}
	panic(fmt.Sprintf("nobody says what %s needs", integration)) // a defect of this file
}

// rerunGrants let a function start the run of a session again: read what an
// execution of run was started with, and start another.
func (d *deployment) rerunGrants() []grant {
	return []grant{
		{sid: "StartRun", actions: []string{"states:StartExecution"}, resources: exact(d.machineArn(statemachines.Run))},
		d.readRun(),
	}
}

func (d *deployment) readRun() grant {
	return grant{
		sid: "ReadRun", actions: []string{"states:DescribeExecution"}, resources: []resource{d.executions(statemachines.Run)},
		why: "Callers name executions; only those of the machine run.",
	}
}

// readExecutions is for telling whether a move, or a run that it started, lives.
func (d *deployment) readExecutions() grant {
	return grant{
		sid: "ReadExecutions", actions: []string{"states:DescribeExecution"}, resources: []resource{d.executions(statemachines.Run), d.executions(statemachines.MoveNotebook)},
		why: "Callers name executions; only those of the machines run and move-notebook.",
	}
}

func (d *deployment) executions(machine string) resource {
	return arn("arn:${P}:states:${R}:${A}:execution:%s:*", d.named(machine))
}
