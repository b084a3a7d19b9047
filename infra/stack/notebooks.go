package stack

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"nightshift/internal/notebook"
)

func notebookKeys() []Key {
	return []Key{{
		"notebookClusterRoles", "[]", "a JSON list of ARNs of IAM roles", "the service role and the instances' role of the clusters where notebooks run: with them move-notebook may make a new cluster like the old one; none: it makes none",
	}, {"notebookPolicies", "false", "true or false", "make the managed policies of EMR notebooks, to be attached to permission sets or roles of users: <stackName>-own-notebooks (one's own only, the owner's tag forced and kept) and <stackName>-notebook-departments (a notebook's department is its cluster's cost-center)"}}
}

// addNotebooks makes the notebooks' policies where they are asked for; who they
// are attached to is for people to say (S5.2).
func (d *deployment) addNotebooks() {
	if !d.NotebookPolicies {
		return
	}
	account := *awscdk.Aws_ACCOUNT_ID()
	for _, p := range []struct {
		id, name, what string
		document       notebook.Policy
	}{
		{"OwnNotebooks", "own-notebooks", "A user's own EMR notebooks, and nobody else's", notebook.OwnPolicy(account)},
		{"NotebookDepartments", "notebook-departments", "EMR notebooks run on clusters of their department", notebook.DepartmentPolicy(account)},
	} {
		m := d.managed(p.id, p.name, p.what, document(p.document.JSON()))
		accept(m, "AwsSolutions-IAM5", "Whose a notebook or a cluster is, is known by its tag, which each statement has as its condition; their ids are not known before, and EMR's lists know no resources.")
	}
}

// notebookMachineGrants are what move-notebook's own calls of EMR and EC2 need.
// A cluster is made only as a notebook's, and only such a one is ended: both by its
// tag.
func (d *deployment) notebookMachineGrants(integration string) (all []grant, known bool) {
	const whyClusters = "Callers name clusters, and new ones have ids that nobody knows before; only those of this account and region."
	clusters := []resource{arn("arn:${P}:elasticmapreduce:${R}:${A}:cluster/*")}
	tagged := func(key string) map[string]any {
		return map[string]any{"Null": map[string]any{"elasticmapreduce:" + key + "/" + notebook.TagNotebook: "false"}}
	}
	switch integration {
	case "aws-sdk:emr:describeCluster":
		return []grant{{sid: "DescribeCluster", actions: []string{"elasticmapreduce:DescribeCluster"}, resources: clusters, why: whyClusters}}, true
	case "aws-sdk:emr:listBootstrapActions":
		return []grant{{sid: "ListBootstrapActions", actions: []string{"elasticmapreduce:ListBootstrapActions"}, resources: clusters, why: whyClusters}}, true
	case "aws-sdk:emr:listClusters":
		return []grant{{sid: "ListClusters", actions: []string{"elasticmapreduce:ListClusters"}, resources: anything(), why: "EMR's ListClusters knows no resources (service authorization reference)."}}, true
	case "aws-sdk:ec2:describeSubnets":
		return []grant{{sid: "DescribeSubnets", actions: []string{"ec2:DescribeSubnets"}, resources: anything(), why: "EC2's descriptions know no resources (service authorization reference)."}}, true
	case "aws-sdk:emr:terminateJobFlows":
		return []grant{{
			sid: "TerminateCluster", actions: []string{"elasticmapreduce:TerminateJobFlows"}, resources: clusters, condition: tagged("ResourceTag"),
			why: whyClusters + " Besides, only those that were made for a notebook, by their tag.",
		}}, true
	case "aws-sdk:emr:runJobFlow":
		if len(d.NotebookClusterRoles) == 0 {
			return nil, true // there is no role that a cluster may be given
		}
		return []grant{{
			sid: "CreateCluster", actions: []string{"elasticmapreduce:RunJobFlow"}, resources: anything(), condition: tagged("RequestTag"),
			why: "EMR's RunJobFlow knows no resources (service authorization reference); only clusters that carry a notebook's tag are made.",
		}, {
			sid: "TagCluster", actions: []string{"elasticmapreduce:AddTags"}, resources: clusters, condition: tagged("RequestTag"), why: whyClusters,
		}, {
			sid: "PassClusterRoles", actions: []string{"iam:PassRole"}, resources: exact(*texts(d.NotebookClusterRoles...)...),
			condition: map[string]any{"StringEquals": map[string]any{"iam:PassedToService": texts("elasticmapreduce.amazonaws.com", "ec2.amazonaws.com")}},
		}}, true
	}
	return nil, false
}

// managed is a managed policy that people attach.
func (d *deployment) managed(id, name, what string, document any) awsiam.CfnManagedPolicy {
	m := awsiam.NewCfnManagedPolicy(d.stack, text(id), &awsiam.CfnManagedPolicyProps{
		ManagedPolicyName: text(d.named(name)), Description: text(what), PolicyDocument: document,
	})
	d.output(id+"Policy", m.AttrPolicyArn())
	return m
}

// document is JSON as the CDK takes it.
func document[T string | []byte](raw T) map[string]any {
	var d map[string]any
	if err := json.Unmarshal([]byte(raw), &d); err != nil {
		panic(err) // our own packages wrote it
	}
	return d
}
