package functions

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
	"nightshift/internal/engine/emrcontainers/emrcontainerssim"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/sagemaker/sagemakersim"
)

// S3.3: whose a run is that Nightshift did not start is read from the tag that the
// endpoint's settings name, and from no other; without one, from Nightshift's own.
func TestS3_3UserTag(t *testing.T) {
	const account, region = "123456789012", "us-east-1"
	clock := enginetest.Clock(t)
	jobs := sagemakersim.New(clock, sagemakersim.Config{Account: account, Region: region})
	for _, c := range []struct {
		api, method, path, target, body string
		server                          http.Handler
	}{
		{api: "sagemaker", path: "/", target: "SageMaker.CreateTrainingJob", server: jobs, body: `{"TrainingJobName":"own","RoleArn":"arn:aws:iam::123456789012:role/work",
			"AlgorithmSpecification":{"TrainingImage":"x","TrainingInputMode":"File"},"OutputDataConfig":{"S3OutputPath":"s3://b/o"},"StoppingCondition":{"MaxRuntimeInSeconds":3600},
			"ResourceConfig":{"InstanceType":"ml.m5.large","InstanceCount":1,"VolumeSizeInGB":10},"Tags":[{"Key":"nightshift:user","Value":"ben"},{"Key":"team:owner","Value":"ana"}]}`},
		{api: "emr-containers", path: "/virtualclusters/vc1/jobruns", server: emrcontainerssim.New(clock, emrcontainerssim.Config{Account: account, Region: region, Clusters: []string{"vc1"}}),
			body: `{"name":"own","clientToken":"own","executionRoleArn":"arn:aws:iam::123456789012:role/work","releaseLabel":"emr-7.12.0-latest",
			"jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://b/x.py"}},"tags":{"nightshift:user":"ben","team:owner":"ana"}}`},
		{api: "emr-notebook", path: "/", target: "ElasticMapReduce.StartNotebookExecution", server: emrnotebooksim.New(clock, emrnotebooksim.Config{Account: account, Region: region, Clusters: []emrnotebooksim.Cluster{{ID: "j-1"}}, Rates: map[string]cadence.Rate{}}),
			body: `{"EditorId":"e-ABCDEFGHIJKLMNOPQRSTUVWXY","RelativePath":"x.ipynb","ServiceRole":"arn:aws:iam::123456789012:role/work","ExecutionEngine":{"Id":"j-1"},
			"Tags":[{"Key":"nightshift:user","Value":"ben"},{"Key":"team:owner","Value":"ana"}]}`},
	} {
		server := httptest.NewServer(c.server)
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", c.target)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		w.Body.Close()
		if w.StatusCode/100 != 2 {
			t.Fatalf("%s: started with %s", c.api, w.Status)
		}
		sdk := aws.Config{Region: region, BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}
		id := c.api + "/" + account + "/" + region
		for setting, want := range map[string]string{"": "ben", `,"userTag":"nightshift:user"`: "ben", `,"userTag":"team:owner"`: "ana", `,"userTag":"who"`: ""} {
			told, err := config.Load(func(v string) string {
				return map[string]string{config.Region: region, config.Endpoints: fmt.Sprintf(`[{"endpoint":%q%s}]`, id, setting)}[v]
			})
			if err != nil {
				t.Fatal(err)
			}
			engines, _, err := endpoints(accountsOf(sdk, "drain-endpoint", told), told, clock.Now)
			if err != nil {
				t.Fatal(err)
			}
			l, err := engines[c.api].List(t.Context(), id)
			if err != nil || len(l.Runs) != 1 || l.Runs[0].User != want {
				t.Errorf("%s, %q: %+v, %v; want one run of %q", c.api, setting, l.Runs, err, want)
			}
		}
	}
}
