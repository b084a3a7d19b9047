package emrnotebook

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"

	"nightshift/internal/fault"
)

// CredentialsAPI is what is used of the service's client for credentials.
type CredentialsAPI interface {
	GetClusterSessionCredentials(context.Context, *sdk.GetClusterSessionCredentialsInput, ...func(*sdk.Options)) (*sdk.GetClusterSessionCredentialsOutput, error)
}

// Credentials gives a function that asks EMR for the user name and password with
// which a runtime role may use a cluster's own endpoints, Livy's among them, and
// for when they expire (zero: not told). EMR allows 0.5 such requests a second,
// 5 at once: keep what it answers. Errors have the kinds of this package.
func Credentials(client CredentialsAPI, cluster, role string) func(context.Context) (user, password string, expires time.Time, err error) {
	const op = "emr: get cluster session credentials"
	return func(ctx context.Context) (string, string, time.Time, error) {
		out, err := client.GetClusterSessionCredentials(ctx, &sdk.GetClusterSessionCredentialsInput{
			ClusterId: aws.String(cluster), ExecutionRoleArn: aws.String(role),
		})
		if err != nil {
			return "", "", time.Time{}, classify(op, err)
		}
		pair, ok := out.Credentials.(*types.CredentialsMemberUsernamePassword)
		if !ok {
			return "", "", time.Time{}, fault.Newf(op, fault.Unknown, "the answer has no user name and password")
		}
		return aws.ToString(pair.Value.Username), aws.ToString(pair.Value.Password), aws.ToTime(out.ExpiresAt), nil
	}
}
