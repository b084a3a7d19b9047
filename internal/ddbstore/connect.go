package ddbstore

import (
	"context"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/fault"
)

// Connect makes a store on an account's table for a person at a command line,
// whose settings and credentials are where the AWS CLI has them. An empty region
// or profile is the default one. It makes no call.
func Connect(ctx context.Context, region, profile, table string) (*Store, error) {
	var options []func(*awsconfig.LoadOptions) error
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	if profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(profile))
	}
	conf, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fault.New("ddbstore: load the AWS configuration", fault.Invalid, err)
	}
	if conf.Region == "" {
		return nil, fault.Newf("ddbstore: load the AWS configuration", fault.Invalid, "no region is set")
	}
	return New(dynamodb.NewFromConfig(conf), table), nil
}
