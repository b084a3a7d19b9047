package workload

import (
	"slices"
	"testing"
	"time"
)

// TestS1_9EngineCap: the engine's own cap, training 28 days and processing 9.
func TestS1_9EngineCap(t *testing.T) {
	t.Parallel()
	want := map[Engine]time.Duration{SageMakerTraining: 28 * 24 * time.Hour, SageMakerProcessing: 9 * 24 * time.Hour}
	if len(Engines()) != 6 {
		t.Fatalf("%d engines, want 6", len(Engines()))
	}
	for _, e := range Engines() {
		if got := e.Cap(); got != want[e] {
			t.Errorf("S1.9 the cap of %s is %s, want %s", e, got, want[e])
		}
		if sage := e == SageMakerTraining || e == SageMakerProcessing || e == SageMakerPipeline; e.OnSageMaker() != sage {
			t.Errorf("%s on SageMaker: %t", e, e.OnSageMaker())
		}
	}
}

// TestStatesOver: a run is over in exactly four states.
func TestStatesOver(t *testing.T) {
	t.Parallel()
	over := []State{Succeeded, Stopped, Failed, Gone}
	if len(States()) != 8 {
		t.Fatalf("%d states, want 8", len(States()))
	}
	for _, s := range States() {
		if s.Over() != slices.Contains(over, s) {
			t.Errorf("%s is over: %t", s, s.Over())
		}
	}
	if State("").Over() {
		t.Error("a state that nobody knows is over")
	}
}

// TestWords: the words are those of the run machine's input and of `nightshift
// decide`; each is there once.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		got, want []string
	}{
		{"engines", words(Engines()), []string{"livy", "emr-containers", "sagemaker-training", "sagemaker-processing", "sagemaker-pipeline", "emr-notebook"}},
		{"kinds", words(Kinds()), []string{"livy-session", "livy-batch", "livy-streaming"}},
		{"applications", words(Applications()), []string{"spark", "hive"}},
		{"states", words(States()), []string{"PENDING", "RUNNING", "IDLE", "STOPPING", "SUCCEEDED", "STOPPED", "FAILED", "GONE"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s are %q, want %q", c.name, c.got, c.want)
		}
	}
}

func words[T ~string](values []T) []string {
	var w []string
	for _, v := range values {
		w = append(w, string(v))
	}
	return w
}

// TestS2_5OneJobHasOneRef: ARNs have a job's name in lower case, listings have it
// as it is; both name one run. No other id is changed.
func TestS2_5OneJobHasOneRef(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ endpoint, id, want string }{
		{"sagemaker/1/r", "training-job/Churn-Model-1", "training-job/churn-model-1"},
		{"sagemaker/1/r", "processing-job/PREP", "processing-job/prep"},
		{"sagemaker/1/r", "training-job/churn-1", "training-job/churn-1"},
		{"sagemaker/1/r", "pipeline/Churn/execution/Ab1", "pipeline/Churn/execution/Ab1"},
		{"livy/j-1", "training-job/Churn", "training-job/Churn"},
		{"emr-notebook/1/r", "ex-J0M3", "ex-J0M3"},
	} {
		if got := (Run{Endpoint: c.endpoint, ID: c.id, Name: "x"}).Ref(); got != (Ref{Endpoint: c.endpoint, ID: c.want}) {
			t.Errorf("S2.5 %s on %s is compared as %+v", c.id, c.endpoint, got)
		}
	}
}

func TestRef(t *testing.T) {
	t.Parallel()
	r := Run{Engine: Livy, Endpoint: "livy/j-1", ID: "application_1_1", Domain: "d-1"}
	if r.Ref() != (Ref{Endpoint: "livy/j-1", ID: "application_1_1"}) {
		t.Errorf("ref %+v", r.Ref())
	}
	other := r
	other.Endpoint = "livy/j-2"
	if r.Ref() == other.Ref() {
		t.Error("S2.5 one id on two endpoints names one run")
	}
}
