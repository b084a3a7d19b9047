package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	emrapi "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"
	"github.com/aws/smithy-go"

	"nightshift/internal/asl"
)

// The resources of EMR on EKS that our machines use, without what they begin
// with.
const (
	resourcePrefix  = "arn:aws:states:::"
	createCluster   = "emr-containers:createVirtualCluster"
	deleteCluster   = "emr-containers:deleteVirtualCluster.sync"
	describeCluster = "aws-sdk:emrcontainers:describeVirtualCluster"
	startJobRun     = "emr-containers:startJobRun.sync"

	describeEMRCluster   = "aws-sdk:emr:describeCluster"
	createEMRCluster     = "aws-sdk:emr:runJobFlow"
	terminateEMRClusters = "aws-sdk:emr:terminateJobFlows"
	listEMRClusters      = "aws-sdk:emr:listClusters"
	listBootstrapActions = "aws-sdk:emr:listBootstrapActions"
	describeSubnets      = "aws-sdk:ec2:describeSubnets"

	// How the names of a service's errors begin.
	onEKS, onEC2, ofEC2 = "EMRContainers.", "Emr.", "Ec2."
)

var _ asl.Integrations = services{}

// Call makes the request of a task on the simulated services, as Step
// Functions' integrations do: arguments and results have the API's names in
// PascalCase, and an argument that the API does not know is refused.
func (v services) Call(ctx context.Context, resource string, arguments map[string]any) (any, error) {
	switch strings.TrimPrefix(resource, resourcePrefix) {
	case createCluster:
		return v.createVirtualCluster(ctx, arguments)
	case deleteCluster:
		return requested(ctx, onEKS, arguments, v.s.emr.DeleteVirtualCluster)
	case describeCluster:
		return requested(ctx, onEKS, arguments, v.s.emr.DescribeVirtualCluster)
	case startJobRun:
		return requested(ctx, onEKS, arguments, v.s.emr.StartJobRun)
	case describeEMRCluster:
		return requested(ctx, onEC2, arguments, v.s.clusters.DescribeCluster)
	case createEMRCluster:
		return requested(ctx, onEC2, arguments, v.s.clusters.RunJobFlow)
	case terminateEMRClusters:
		return requested(ctx, onEC2, arguments, v.s.clusters.TerminateJobFlows)
	case listEMRClusters:
		return requested(ctx, onEC2, arguments, v.s.clusters.ListClusters)
	case listBootstrapActions:
		return requested(ctx, onEC2, arguments, v.s.clusters.ListBootstrapActions)
	case describeSubnets:
		return requested(ctx, ofEC2, arguments, v.s.network.DescribeSubnets)
	}
	return nil, &asl.TaskError{Name: asl.ErrorRuntime, Cause: "the local system does not carry out " + resource}
}

// Poll looks at what a request began.
func (v services) Poll(ctx context.Context, resource string, begun any) (any, bool, error) {
	id := field(begun, "Id")
	if strings.TrimPrefix(resource, resourcePrefix) == deleteCluster {
		out, err := v.s.emr.DescribeVirtualCluster(ctx, &emrapi.DescribeVirtualClusterInput{Id: aws.String(id)})
		if err != nil {
			return nil, false, err
		}
		return judged(out.VirtualCluster, string(out.VirtualCluster.State), "TERMINATED", "ARRESTED")
	}
	out, err := v.s.emr.DescribeJobRun(ctx, &emrapi.DescribeJobRunInput{Id: aws.String(id), VirtualClusterId: aws.String(field(begun, "VirtualClusterId"))})
	if err != nil {
		return nil, false, err
	}
	return judged(out.JobRun, string(out.JobRun.State), "COMPLETED", "FAILED", "CANCELLED")
}

// judged says whether a task is over in a state: well in the first, badly in the
// others. A failure's cause is the description.
func judged(description any, state, well string, badly ...string) (any, bool, error) {
	shown, err := shown(description)
	if err != nil {
		return nil, false, err
	}
	if state == well {
		return shown, true, nil
	}
	for _, bad := range badly {
		if state == bad {
			cause, _ := json.Marshal(shown) // it was JSON before
			return nil, true, &asl.TaskError{Name: asl.ErrorTaskFailed, Cause: string(cause)}
		}
	}
	return nil, false, nil
}

// Cancel asks for the end of a job run; a deletion cannot be taken back.
func (v services) Cancel(ctx context.Context, resource string, begun any) {
	if strings.TrimPrefix(resource, resourcePrefix) != startJobRun {
		return
	}
	// The best effort: what fails is nobody's to hear of, as on AWS.
	_, _ = v.s.emr.CancelJobRun(ctx, &emrapi.CancelJobRunInput{Id: aws.String(field(begun, "Id")), VirtualClusterId: aws.String(field(begun, "VirtualClusterId"))})
}

// createVirtualCluster reads its arguments by itself: the SDK has the namespace
// in a union, which JSON does not fill.
func (v services) createVirtualCluster(ctx context.Context, arguments map[string]any) (any, error) {
	var in struct {
		Name, ClientToken, SecurityConfigurationId *string
		Tags                                       map[string]string
		ContainerProvider                          struct {
			Id   *string
			Type emrtypes.ContainerProviderType
			Info struct{ EksInfo emrtypes.EksInfo }
		}
	}
	if err := read(arguments, &in); err != nil {
		return nil, err
	}
	provider := in.ContainerProvider
	out, err := v.s.emr.CreateVirtualCluster(ctx, &emrapi.CreateVirtualClusterInput{
		Name: in.Name, ClientToken: in.ClientToken, SecurityConfigurationId: in.SecurityConfigurationId, Tags: in.Tags,
		ContainerProvider: &emrtypes.ContainerProvider{Id: provider.Id, Type: provider.Type, Info: &emrtypes.ContainerInfoMemberEksInfo{Value: provider.Info.EksInfo}},
	})
	return answered(onEKS, out, err)
}

// requested makes a request of arguments. errors is how the service's begin.
func requested[In, Out, Options any](ctx context.Context, errors string, arguments map[string]any, call func(context.Context, *In, ...func(*Options)) (*Out, error)) (any, error) {
	in := new(In)
	if err := read(arguments, in); err != nil {
		return nil, err
	}
	out, err := call(ctx, in)
	return answered(errors, out, err)
}

// read fills a request with arguments, and takes no others.
func read(arguments map[string]any, in any) error {
	raw, err := json.Marshal(arguments)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		err = d.Decode(in)
	}
	for name := range arguments {
		if err == nil && strings.ToUpper(name[:min(1, len(name))]) != name[:min(1, len(name))] {
			err = fmt.Errorf("%q is not in PascalCase", name)
		}
	}
	if err != nil {
		return &asl.TaskError{Name: asl.ErrorRuntime, Cause: "The arguments are not the request's: " + err.Error()}
	}
	return nil
}

// answered gives an answer its task's form. The names of the integration's
// errors are not documented; these are made as those of the older ones are.
func answered[Out any](names string, out *Out, err error) (any, error) {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return nil, &asl.TaskError{Name: names + refused.ErrorCode(), Cause: refused.ErrorMessage()}
	}
	if err != nil {
		return nil, &asl.TaskError{Name: names + "SdkClientException", Cause: err.Error()}
	}
	return shown(out)
}

// shown is what the SDK answered as JSON, in the SDK's names, which are the
// integration's; what was not said is left out.
func shown(out any) (any, error) {
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	if fields, ok := v.(map[string]any); ok {
		delete(fields, "ResultMetadata")
	}
	return sparse(v), nil
}

func sparse(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			if v[name] = sparse(item); item == nil {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = sparse(v[i])
		}
	}
	return v
}

// field is a text of what was begun.
func field(begun any, name string) string {
	fields, _ := begun.(map[string]any)
	text, _ := fields[name].(string)
	return text
}
