package stack

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"nightshift/internal/notebook"
)

func notebookKeys() []Key {
	return []Key{{"notebookPolicies", "false", "true or false", "make the managed policies of EMR notebooks, to be attached to permission sets or roles of users: <stackName>-own-notebooks (one's own only, the owner's tag forced and kept) and <stackName>-notebook-departments (a notebook's department is its cluster's cost-center)"}}
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
