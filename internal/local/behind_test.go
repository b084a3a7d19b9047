package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	emrctypes "github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/engine/simrun"
	"nightshift/internal/local"
	"nightshift/internal/session"
)

// behind starts one run of every kind straight at the engines' own APIs, at the
// door's root as the AWS CLI does, and by HTTP for Livy. Each names its user by
// tag (proxyUser for Livy); the pipeline, whose executions carry no tags, names
// none.
func behind(t *testing.T, u *awsUser) {
	t.Helper()
	ctx := t.Context()
	role := aws.String("arn:aws:iam::123456789012:role/work")
	conf := aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), BaseEndpoint: aws.String(u.url),
		HTTPClient: simrun.Client(), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	sent(u.train.CreateTrainingJob(ctx, &sagemaker.CreateTrainingJobInput{
		TrainingJobName: aws.String("own-training"), RoleArn: role, OutputDataConfig: &smtypes.OutputDataConfig{S3OutputPath: aws.String("s3://b/o")},
		AlgorithmSpecification: &smtypes.AlgorithmSpecification{TrainingImage: aws.String("x"), TrainingInputMode: smtypes.TrainingInputModeFile},
		ResourceConfig:         &smtypes.ResourceConfig{InstanceType: smtypes.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition:      &smtypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(86400)},
		Tags:                   []smtypes.Tag{{Key: aws.String("nightshift:user"), Value: aws.String("u-tina")}},
	}))(t)
	sent(u.train.CreateProcessingJob(ctx, &sagemaker.CreateProcessingJobInput{
		ProcessingJobName: aws.String("own-processing"), RoleArn: role, AppSpecification: &smtypes.AppSpecification{ImageUri: aws.String("x")},
		ProcessingResources: &smtypes.ProcessingResources{ClusterConfig: &smtypes.ProcessingClusterConfig{
			InstanceCount: aws.Int32(1), InstanceType: smtypes.ProcessingInstanceTypeMlM5Large, VolumeSizeInGB: aws.Int32(10)}},
		Tags: []smtypes.Tag{{Key: aws.String("nightshift:user"), Value: aws.String("u-paul")}},
	}))(t)
	sent(u.train.StartPipelineExecution(ctx, &sagemaker.StartPipelineExecutionInput{
		PipelineName: aws.String("Churn"), ClientRequestToken: aws.String("0123456789012345678901234567890123"),
	}))(t)
	sent(u.emr.StartJobRun(ctx, &emrcontainers.StartJobRunInput{
		VirtualClusterId: aws.String(local.VirtualCluster), Name: aws.String("own-job"), ClientToken: aws.String("own"), ExecutionRoleArn: role,
		ReleaseLabel: aws.String("emr-7.12.0-latest"), Tags: map[string]string{"nightshift:user": "u-ella"},
		JobDriver: &emrctypes.JobDriver{SparkSubmitJobDriver: &emrctypes.SparkSubmitJobDriver{EntryPoint: aws.String("s3://b/x.py")}},
	}))(t)
	sent(emr.NewFromConfig(conf).StartNotebookExecution(ctx, &emr.StartNotebookExecutionInput{
		EditorId: aws.String("e-ABCDEFGHIJKLMNOPQRSTUVWXY"), RelativePath: aws.String("x.ipynb"), ServiceRole: role,
		ExecutionEngine: &emrtypes.ExecutionEngineConfig{Id: aws.String(local.NotebookCluster)},
		Tags:            []emrtypes.Tag{{Key: aws.String("nightshift:user"), Value: aws.String("u-nora")}},
	}))(t)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url+"/livy/sessions", bytes.NewReader([]byte(`{"kind":"pyspark","proxyUser":"u-ana"}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Requested-By", "ana")
	w := sent(http.DefaultClient.Do(r))(t)
	defer w.Body.Close()
	if said, _ := io.ReadAll(w.Body); w.StatusCode != http.StatusCreated {
		t.Fatalf("Livy answered %d %s", w.StatusCode, said)
	}
}

// TestS3_3StartedBehindOurBack: what is started at an engine's own API is
// adopted under its user within the endpoint's cadence, shown, and stopped at
// the user's sign-out; what nobody can be named for is an orphan, said once and
// never stopped.
func TestS3_3StartedBehindOurBack(t *testing.T) {
	u := awsOpen(t, local.Options{})
	interactive := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.Off, ClusterBackground: session.Off, ReleaseLabel: "emr-7.12.0"}
	for _, endpoint := range []string{local.Livy, local.EMROnEKS, local.SageMaker, local.EMRNotebook} {
		u.s.Directory.SetFacts(endpoint, "", interactive)
	}
	behind(t, u)
	u.pass(6 * time.Minute)
	users := map[string]string{"u-tina": "sagemaker-training", "u-paul": "sagemaker-processing", "u-ella": "emr-containers", "u-nora": "emr-notebook", "u-ana": "livy"}
	u.shown(users, session.Active, "")
	for user := range users {
		u.signOut(user, "nightshift")
	}
	u.pass(10 * time.Minute)
	u.shown(users, session.Ended, session.CauseSignOut)
	u.pass(10 * time.Minute) // the record of the call that started the pipeline must have come by now
	if orphans := u.orphans(); orphans != 1 {
		t.Errorf("S3.3 %d orphans were announced, want the pipeline, once", orphans)
	}
	for _, r := range u.s.SageMaker.Runs() {
		if r.User == "" && len(r.Stops) > 0 {
			t.Errorf("S3.3 %s is nobody's and was asked to stop", r.ID)
		}
	}
}

// shown checks that the door lists one session of each user, of that engine, in
// that status.
func (u *awsUser) shown(users map[string]string, status session.Status, cause session.Cause) {
	u.t.Helper()
	var list struct {
		Sessions []struct{ User, Engine, Status, Cause string }
	}
	r := sent(http.Get(u.url + "/sessions"))(u.t)
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		u.t.Fatal(err)
	}
	if len(list.Sessions) != len(users) {
		u.t.Errorf("%d sessions are shown, want %d: %+v", len(list.Sessions), len(users), list.Sessions)
	}
	for _, s := range list.Sessions {
		if want := users[s.User]; s.Engine != want || s.Status != string(status) || s.Cause != string(cause) {
			u.t.Errorf("%s: %s %s %q, want %s %s %q", s.User, s.Engine, s.Status, s.Cause, want, status, cause)
		}
	}
}

// trains starts a training job at SageMaker's own API, under a name and with a
// user's tag if one is given, and answers its ARN.
func (u *awsUser) trains(name, user string) string {
	u.t.Helper()
	var tags []smtypes.Tag
	if user != "" {
		tags = []smtypes.Tag{{Key: aws.String("nightshift:user"), Value: &user}}
	}
	out := sent(u.train.CreateTrainingJob(u.t.Context(), &sagemaker.CreateTrainingJobInput{
		TrainingJobName: &name, RoleArn: aws.String("arn:aws:iam::123456789012:role/work"), OutputDataConfig: &smtypes.OutputDataConfig{S3OutputPath: aws.String("s3://b/o")},
		AlgorithmSpecification: &smtypes.AlgorithmSpecification{TrainingImage: aws.String("x"), TrainingInputMode: smtypes.TrainingInputModeFile},
		ResourceConfig:         &smtypes.ResourceConfig{InstanceType: smtypes.TrainingInstanceTypeMlM5Large, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition:      &smtypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(86400)},
		Tags:                   tags,
	}))(u.t)
	return aws.ToString(out.TrainingJobArn)
}

// trail says what CloudTrail recorded of a call: source and name, and the other
// members of its detail.
func (u *awsUser) trail(source, name, id, members string) {
	u.t.Helper()
	now := u.s.Clock.Now().Format(time.RFC3339)
	body := fmt.Sprintf(`{"version":"0","id":"env-%[1]s","detail-type":"AWS API Call via CloudTrail","source":"aws.%[2]s","account":"123456789012","time":%[3]q,"region":"us-east-1","resources":[],
"detail":{"eventTime":%[3]q,"eventSource":"%[2]s.amazonaws.com","eventName":%[4]q,"awsRegion":"us-east-1","eventID":%[1]q,"eventType":"AwsApiCall","recipientAccountId":"123456789012",%[5]s}}`, id, source, now, name, members)
	r := sent(http.Post(u.url+"/events", "application/json", strings.NewReader(body)))(u.t)
	defer r.Body.Close()
	if said, _ := io.ReadAll(r.Body); r.StatusCode/100 != 2 {
		u.t.Fatalf("the door answered %d %s", r.StatusCode, said)
	}
}

// TestS3_3AJobWithACapitalInItsName: its ARN has the name in lower case. However
// it became known (recorded call, tag or both), it is one session, no orphan, and
// the end of its background session, which names it by ARN, stops it.
func TestS3_3AJobWithACapitalInItsName(t *testing.T) {
	for _, c := range []struct {
		how       string
		tag, born bool
	}{{"recorded call", false, true}, {"tag", true, false}, {"both", true, true}} {
		t.Run(c.how, func(t *testing.T) {
			u := awsOpen(t, local.Options{})
			u.s.Directory.SetFacts(local.SageMaker, "", session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On})
			u.pass(time.Minute) // past the first truth check: the next finds the record of the call delivered
			user := ""
			if c.tag {
				user = "u-tina"
			}
			arn := u.trains("Churn-Model-1", user)
			if !strings.HasSuffix(arn, "/churn-model-1") {
				t.Fatalf("the ARN %s tells the case of the name", arn)
			}
			if c.born {
				u.trail("sagemaker", "CreateTrainingJob", "b-1", fmt.Sprintf(`"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::123456789012:assumed-role/studio/SageMaker","onBehalfOf":{"userId":"u-tina"}},
"requestParameters":{"trainingJobName":"Churn-Model-1"},"responseElements":{"trainingJobArn":%q}`, arn))
			}
			u.pass(7 * time.Minute)
			u.shown(map[string]string{"u-tina": "sagemaker-training"}, session.Active, "")
			u.trail("identitystore-auth", "BatchDeleteSession", "ct-9", fmt.Sprintf(`"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::123456789012:assumed-role/admin/x"},
"requestParameters":{"identityStoreId":"d-1234567890","userId":"u-tina","sessions":[{"sessionId":"x1","sessionType":"USER_BACKGROUND_SESSION","resource":%q}]},"responseElements":null`, arn))
			u.pass(10 * time.Minute)
			u.shown(map[string]string{"u-tina": "sagemaker-training"}, session.Ended, session.CauseBackgroundRevoked)
			for _, r := range u.s.SageMaker.Runs() {
				if len(r.Stops) == 0 {
					t.Errorf("S2.1 %s was never asked to stop", r.Name)
				}
			}
			for _, said := range u.s.Announced() {
				if said.DetailType == "Nightshift Orphan Found" {
					t.Errorf("S3.3 an owned job is announced as an orphan: %s", said.Detail)
				}
			}
		})
	}
}
