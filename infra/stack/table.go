package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"

	"nightshift/internal/ddbstore/schema"
)

// addTable makes the table as the schema says. It outlives the stack: it holds
// the proof of every stop (S2.7). Table and not TableV2, which cannot have a key
// of its own in a stack that is not bound to an account and region.
func (d *deployment) addTable() {
	def := schema.Definition()
	encryption := awsdynamodb.TableEncryption_AWS_MANAGED
	if d.CustomerKey {
		encryption = awsdynamodb.TableEncryption_CUSTOMER_MANAGED
		d.key = awskms.NewKey(d.stack, text("TableKey"), &awskms.KeyProps{
			Description: text("Encrypts Nightshift's table."), EnableKeyRotation: yes, RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
		})
	}
	props := &awsdynamodb.TableProps{
		PartitionKey:                     attribute(def.PartitionKey),
		SortKey:                          attribute(def.SortKey),
		BillingMode:                      awsdynamodb.BillingMode_PAY_PER_REQUEST,
		Encryption:                       encryption,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: yes},
		Stream:                           awsdynamodb.StreamViewType(def.StreamView),
		TimeToLiveAttribute:              text(def.TTLAttribute),
		DeletionProtection:               yes,
		RemovalPolicy:                    awscdk.RemovalPolicy_RETAIN,
	}
	if d.key != nil {
		props.EncryptionKey = d.key
	}
	d.table = awsdynamodb.NewTable(d.stack, text("Table"), props)
	for _, i := range def.Indexes {
		d.table.AddGlobalSecondaryIndex(&awsdynamodb.GlobalSecondaryIndexProps{
			IndexName: text(i.Name), PartitionKey: attribute(i.PartitionKey), SortKey: attribute(i.SortKey),
			ProjectionType: awsdynamodb.ProjectionType(i.Projection),
		})
	}
}

// attribute puts a key attribute into the CDK's words; the schema has no other
// type than strings.
func attribute(a schema.Attribute) *awsdynamodb.Attribute {
	return &awsdynamodb.Attribute{Name: text(a.Name), Type: awsdynamodb.AttributeType_STRING}
}
