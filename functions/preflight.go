package functions

import (
	"context"
	"fmt"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	sagemakerengine "nightshift/internal/engine/sagemaker"
	"nightshift/internal/vpc"
)

// Preflight makes what checks the network of jobs: a reader of EC2 for each of
// SageMaker's endpoints, in its region. The SDK's own retries are kept: nothing
// else paces these calls.
func Preflight(ctx context.Context, function string, getenv func(string) string, now func() time.Time) (*vpc.Preflight, error) {
	a, c, err := Settled(ctx, function, getenv, now)
	if err != nil {
		return nil, err
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(c.Region))
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration of %s: %w", function, err)
	}
	reach := accountsOf(sdk, function, c)
	p := &vpc.Preflight{EC2: map[string]vpc.API{}, Sessions: a.Store, Reserve: a.Reserve, JobName: sagemakerengine.JobName}
	for _, e := range c.Endpoints {
		if e.API == "sagemaker" {
			p.EC2[e.ID] = ec2.NewFromConfig(reach.At(e.Account(), e.Region))
		}
	}
	return p, nil
}
