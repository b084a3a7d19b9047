package emrnotebook

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

var _ app.Keeper = (*Engine)(nil)

// Kept is where EMR keeps the notebook as an execution has executed it: an ipynb
// in S3, which is written also where the execution is stopped. "" where EMR says
// none, or knows the execution no more.
func (e *Engine) Kept(ctx context.Context, run workload.Run) (string, error) {
	const op = "emr-notebook: read where the executed notebook is"
	out, err := e.client.DescribeNotebookExecution(ctx, &sdk.DescribeNotebookExecutionInput{NotebookExecutionId: aws.String(run.ID)})
	if err = classify(op, err); err != nil {
		if fault.Is(err, fault.Invalid) {
			return "", nil
		}
		return "", err
	}
	if out.NotebookExecution == nil {
		return "", nil
	}
	x := out.NotebookExecution
	if uri := aws.ToString(x.OutputNotebookURI); uri != "" {
		return uri, nil
	}
	if at := x.OutputNotebookS3Location; at != nil && aws.ToString(at.Bucket) != "" {
		return "s3://" + aws.ToString(at.Bucket) + "/" + aws.ToString(at.Key), nil
	}
	return "", nil
}
