package ddbstore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nightshift/internal/ddbstore/schema"
)

// CreateAPI is what Create calls; *dynamodb.Client has it.
type CreateAPI interface {
	dynamodb.DescribeTableAPIClient
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	UpdateTimeToLive(context.Context, *dynamodb.UpdateTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error)
}

// createWait bounds the wait for a new table to become usable.
const createWait = 2 * time.Minute

// Create makes the table that package schema says and waits until it is usable.
// It is for tests and the local system; in an account the stack makes it.
func Create(ctx context.Context, client CreateAPI, table string) error {
	const op = "ddbstore: create table"
	if _, err := client.CreateTable(ctx, createInput(table)); err != nil {
		return classify(op, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, createWait); err != nil {
		return classify(op, err)
	}
	_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(schema.Definition().TTLAttribute), Enabled: aws.Bool(true),
		},
	})
	return classify(op, err)
}

func createInput(table string) *dynamodb.CreateTableInput {
	def := schema.Definition()
	in := &dynamodb.CreateTableInput{
		TableName:           &table,
		BillingMode:         types.BillingModePayPerRequest,
		KeySchema:           keySchema(def.PartitionKey, def.SortKey),
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewType(def.StreamView)},
	}
	for _, a := range def.Attributes() {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(a.Name), AttributeType: types.ScalarAttributeType(a.Type),
		})
	}
	for _, i := range def.Indexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  aws.String(i.Name),
			KeySchema:  keySchema(i.PartitionKey, i.SortKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionType(i.Projection)},
		})
	}
	return in
}

func keySchema(partition, sort schema.Attribute) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(partition.Name), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(sort.Name), KeyType: types.KeyTypeRange},
	}
}
