//go:build conform

package emrcontainers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers/types"

	"nightshift/internal/app"
	"nightshift/internal/conform"
	"nightshift/internal/fault"
	"nightshift/internal/workload"
)

// gaps are what moto's EMR on EKS does not do of what the engine relies on; only
// the simulator shows it. Where the suite meets one, it says so by its number: a
// moto that learns it fails there.
var gaps = []string{
	"0 joins no starts by their client token: a repeated start is another run",
	"1 has no states but RUNNING and CANCELLED: runs never wait, end by themselves or hang in CANCEL_PENDING",
	"2 forgets retryPolicyConfiguration",
	"3 rounds createdAt and finishedAt to the day",
	"4 never throttles and refuses no credentials",
	"5 answers an unknown release as a resource that is not found",
}

// TestConform holds the engine's requests and answers against moto's.
func TestConform(t *testing.T) {
	for _, gap := range gaps {
		t.Logf("moto's EMR on EKS: gap %s", gap)
	}
	c := moto(t)
	e := New(c, account, region, fixed)
	if l, err := e.List(t.Context(), endpoint); err != nil || !l.Complete || len(l.Runs) != 0 {
		t.Fatalf("without virtual clusters the list is %+v, %v", l, err)
	}
	one, two := cluster(t, c, "one"), cluster(t, c, "two")
	t.Run("a run's life", func(t *testing.T) { conformLife(t, e, one) })
	t.Run("what there is not", func(t *testing.T) { conformAbsent(t, e, one) })
	t.Run("pages", func(t *testing.T) { conformPages(t, e, c, one, two) })
}

func conformLife(t *testing.T, e *Engine, cluster string) {
	start := app.Start{SessionID: "s-1", User: "alice", Spec: conformSpec(cluster, "job-1"), Run: workload.Run{Engine: workload.EMRContainers, Endpoint: endpoint}}
	run, err := e.Start(t.Context(), start)
	if err != nil || !strings.HasPrefix(run.ID, cluster+"/") || len(run.ID) < len(cluster)+10 || run.Endpoint != endpoint {
		t.Fatalf("start answers %+v, %v", run, err)
	}
	if again, err := e.Start(t.Context(), start); err != nil || again == run {
		t.Errorf("gap 0 is closed: a repeated start answers %+v, %v", again, err)
	} else if err := e.Stop(t.Context(), again); err != nil {
		t.Errorf("stop of the second: %v", err)
	}
	o := only(t, e)
	if o.Run != run || o.State != workload.Running || o.Stamp != "s-1" || o.User != "alice" || o.Name != "job-1" || o.CreatedAt.IsZero() || o.Detail != "" {
		t.Errorf("the list shows %+v", o)
	}
	if d, err := e.Describe(t.Context(), run); err != nil || d != o {
		t.Errorf("describe answers %+v, %v; the list %+v", d, err, o)
	}
	for range 2 { // the second is refused: it is over
		if err := e.Stop(t.Context(), run); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	d, err := e.Describe(t.Context(), run)
	if err != nil || d.State != workload.Stopped || d.Stamp != "s-1" || d.At.Equal(fixed()) || d.Detail == "" {
		t.Errorf("stopped, it is described as %+v, %v", d, err)
	}
	if l, err := e.List(t.Context(), endpoint); err != nil || !l.Complete || len(l.Runs) != 0 {
		t.Errorf("the list shows %+v, %v after the stop", l, err)
	}
}

func conformAbsent(t *testing.T, e *Engine, cluster string) {
	unknown := workload.Run{Engine: workload.EMRContainers, Endpoint: endpoint, ID: cluster + "/0000000abcdefghijkl"}
	if o, err := e.Describe(t.Context(), unknown); err != nil || o.State != workload.Gone || o.Run != unknown {
		t.Errorf("a run that never was is described as %+v, %v; want it gone", o, err)
	}
	if err := e.Stop(t.Context(), unknown); err != nil {
		t.Errorf("stop of a run that never was: %v", err)
	}
	malformed := unknown
	malformed.ID = cluster + "/short"
	if _, err := e.Describe(t.Context(), malformed); !fault.Is(err, fault.Invalid) {
		t.Errorf("an id that cannot be answers %v, want an invalid fault", err)
	}
	for _, spec := range [][]byte{
		conformSpec("nowhere", "job"),
		[]byte(strings.Replace(string(conformSpec(cluster, "job")), "emr-7.11.0-latest", "emr-x", 1)), // gap 5
	} {
		if _, err := e.Start(t.Context(), app.Start{SessionID: "s-9", Spec: spec}); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s answers %v, want a fault of what is not found", spec, err)
		}
	}
}

// conformPages: a listing goes on from page to page and cluster to cluster, and
// leaves out clusters that are no more.
func conformPages(t *testing.T, e *Engine, c *sdk.Client, one, two string) {
	const many = 120 // moto's page has 100
	want := map[string]string{}
	for n := range many {
		cluster := one
		if n%60 == 0 {
			cluster = two
		}
		session := fmt.Sprintf("p-%d", n)
		run, err := e.Start(t.Context(), app.Start{SessionID: session, Spec: conformSpec(cluster, session)})
		if err != nil {
			t.Fatal(err)
		}
		want[run.ID] = session
	}
	l, err := e.List(t.Context(), endpoint)
	if err != nil || !l.Complete || len(l.Runs) != many {
		t.Fatalf("the list has %d of %d runs, complete %v, %v", len(l.Runs), many, l.Complete, err)
	}
	for _, o := range l.Runs {
		if want[o.Run.ID] != o.Stamp || o.User != "" {
			t.Errorf("the list shows %+v, want it stamped %s", o, want[o.Run.ID])
		}
	}
	if _, err := c.DeleteVirtualCluster(t.Context(), &sdk.DeleteVirtualClusterInput{Id: aws.String(two)}); err != nil {
		t.Fatal(err)
	}
	if l, err := e.List(t.Context(), endpoint); err != nil || !l.Complete || len(l.Runs) != many-2 {
		t.Errorf("without the second cluster the list has %d runs, complete %v, %v", len(l.Runs), l.Complete, err)
	}
}

func only(t *testing.T, e *Engine) workload.Observation {
	t.Helper()
	l, err := e.List(t.Context(), endpoint)
	if err != nil || !l.Complete || len(l.Runs) != 1 {
		t.Fatalf("the list is %+v, %v; want one run", l, err)
	}
	return l.Runs[0]
}

func conformSpec(cluster, name string) []byte {
	return fmt.Appendf(nil, `{"virtualClusterId":%q,"name":%q,"executionRoleArn":"arn:aws:iam::123456789012:role/job",
		"releaseLabel":"emr-7.11.0-latest","tags":{"team":"red"},"retryPolicyConfiguration":{"maxAttempts":2},
		"jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://bucket/job.py","sparkSubmitParameters":"--conf spark.executor.instances=2"}},
		"configurationOverrides":{"applicationConfiguration":[{"classification":"spark-defaults","properties":{"a":"b"}}]}}`, cluster, name)
}

func cluster(t *testing.T, c *sdk.Client, name string) string {
	t.Helper()
	out, err := c.CreateVirtualCluster(t.Context(), &sdk.CreateVirtualClusterInput{
		Name: aws.String(name),
		ContainerProvider: &types.ContainerProvider{
			Id: aws.String("eks"), Type: types.ContainerProviderTypeEks,
			Info: &types.ContainerInfoMemberEksInfo{Value: types.EksInfo{Namespace: aws.String(name)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Id)
}

// fixed is a time of ours, which no answer of moto's can be.
func fixed() time.Time { return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }

// moto starts moto for the test, on a free loopback port, and gives the real
// client of it.
func moto(t *testing.T) *sdk.Client {
	t.Helper()
	url := conform.Moto(t)
	return sdk.NewFromConfig(aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		BaseEndpoint: aws.String(url), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
}
