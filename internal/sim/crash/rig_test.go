package crash_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	emrapi "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	sagemakerapi "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/engine/emrcontainers"
	"nightshift/internal/engine/emrcontainers/emrcontainerssim"
	"nightshift/internal/engine/emrnotebook"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/livy"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/engine/sagemaker"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/workload"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	cluster = "j-2AXXXXXXGAPLF"
	virtual = "vc7n1ghtsh1ft0000000000001"
)

// simulator is what is asked of an engine's simulator.
type simulator interface {
	http.Handler
	simrun.Ledger
	Plan(name string, plan simrun.Plan)
}

// rig is one engine: the real adapter with the real client, before a simulator
// in this process.
type rig struct {
	run      workload.Run
	endpoint string
	spec     string // the engine's own request
	clock    *clock
	sim      simulator
	blank    func() simulator // the same service without any run
	serving  simulator        // what the adapters reach
	memo     memo             // nil: nothing is remembered
	gate     func(call string, do func() (saw string))
	lose     int    // so many answers to changing requests are lost
	asked    string // stands for everything that changed it, and when
	adapter  func(*http.Client) app.Engine
	foreign  foreign
	prefix   string // begins the ids of the runs that a session owns; parts of them have others
}

// habit is how runs behave here: brisk, so that the states between are passed
// quickly; what the engines' real times do is the simulation's to show.
var habit = simrun.Plan{StartDelay: 10 * time.Second, Grace: 8 * time.Second}

// newRig gives a fresh engine on a fresh clock.
func newRig(engine workload.Engine) *rig {
	r := rigs[engine](&clock{began})
	r.run.Engine, r.run.Endpoint = engine, r.endpoint
	make := r.blank
	r.blank = func() simulator {
		s := make()
		s.Plan("", habit)
		return s
	}
	r.sim = r.blank()
	r.serving = r.sim
	return r
}

// engine is an adapter whose changing requests the trouble may strike.
func (r *rig) engine(x *trouble) app.Engine {
	e := r.adapter(&http.Client{Transport: wire{r, x}})
	if r.memo == nil {
		return e
	}
	return remembering{e, r}
}

// memo are the answers of an engine to the same question in the same state: what
// had been asked of it, and when, is the same to the moment. An SDK's client is
// most of the cost of a play, and most plays differ in something else.
type memo map[string]answer

type answer struct {
	listing workload.Listing
	seen    workload.Observation
	err     error
}

// remembering is an engine whose reads are remembered.
type remembering struct {
	app.Engine
	r *rig
}

func (m remembering) ask(question string, ask func() answer) answer {
	key := m.r.asked + "|" + question + "|" + strconv.FormatInt(m.r.clock.now.UnixNano(), 36)
	a, known := m.r.memo[key]
	if !known {
		a = ask()
		m.r.memo[key] = a
	}
	return a
}

func (m remembering) List(ctx context.Context, endpoint string) (workload.Listing, error) {
	a := m.ask("list", func() (a answer) { a.listing, a.err = m.Engine.List(ctx, endpoint); return a })
	return a.listing, a.err
}

func (m remembering) Describe(ctx context.Context, run workload.Run) (workload.Observation, error) {
	a := m.ask(run.ID, func() (a answer) { a.seen, a.err = m.Engine.Describe(ctx, run); return a })
	return a.seen, a.err
}

// note adds to the engine's history what changed it.
func (r *rig) note(what string) {
	sum := sha256.Sum256([]byte(r.asked + "|" + what + "|" + r.clock.now.String()))
	r.asked = hex.EncodeToString(sum[:8])
}

// serve has the adapters reach another service from now on.
func (r *rig) serve(s simulator, what string) {
	r.serving = s
	r.note(what)
}

// clean is an adapter that no trouble reaches: somebody else's hand.
func (r *rig) clean() app.Engine { return r.engine(&trouble{}) }

// wire carries requests to the simulator without a socket.
type wire struct {
	r *rig
	x *trouble
}

func (c wire) RoundTrip(q *http.Request) (res *http.Response, err error) {
	serve := func() error { res, err = c.serve(q); return err }
	if c.r.gate != nil {
		name := q.Method + " " + q.URL.Path + " " + q.Header.Get("X-Amz-Target")
		c.r.gate(name, func() string { _ = serve(); return c.r.asked })
		return res, err
	}
	name := changing(q)
	switch {
	case name != "" && c.r.lose > 0:
		c.r.lose--
		_ = serve() // nobody hears the answer
		err = errDown
	case name != "":
		err = c.x.strike(name, serve)
	default:
		err = serve()
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (c wire) serve(q *http.Request) (res *http.Response, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != http.ErrAbortHandler {
				panic(r)
			}
			err = io.ErrUnexpectedEOF // the simulator hung up
		}
	}()
	in := *q
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if name := changing(q); name != "" {
		c.r.note(name)
	}
	w := httptest.NewRecorder()
	c.r.serving.ServeHTTP(w, &in)
	res = w.Result()
	res.Request = q
	return res, nil
}

// changing names a request that changes something; "" for one that reads.
func changing(q *http.Request) string {
	_, op, target := strings.Cut(q.Header.Get("X-Amz-Target"), ".")
	switch {
	case target && !strings.HasPrefix(op, "List") && !strings.HasPrefix(op, "Describe") && !strings.HasPrefix(op, "Get"):
		return op
	case !target && q.Method != http.MethodGet:
		return q.Method + " of the engine"
	}
	return ""
}

func awsConfig(c *http.Client) aws.Config {
	return aws.Config{
		Region: region, Credentials: aws.AnonymousCredentials{}, HTTPClient: c, BaseEndpoint: aws.String("http://engine.local"),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// unlimited: how fast an engine may be asked is not what is looked at here.
func unlimited() map[string]cadence.Rate { return map[string]cadence.Rate{} }

func onSageMaker(prefix, op, spec string, more map[string]any, pipelines ...sagemakersim.Pipeline) func(*clock) *rig {
	return func(c *clock) *rig {
		return &rig{
			endpoint: "sagemaker/" + account + "/" + region, spec: spec, clock: c, prefix: prefix,
			foreign: foreign{"/", "SageMaker." + op, more},
			blank: func() simulator {
				return sagemakersim.New(c, sagemakersim.Config{Account: account, Region: region, Rates: unlimited(), Pipelines: pipelines})
			},
			adapter: func(h *http.Client) app.Engine {
				return sagemaker.New(sagemakerapi.NewFromConfig(awsConfig(h)), account, region, c.Now)
			},
		}
	}
}

const role = `"RoleArn":"arn:aws:iam::123456789012:role/job"`

// rigs are the six engines.
var rigs = map[workload.Engine]func(*clock) *rig{
	workload.Livy: func(c *clock) *rig {
		return &rig{
			run:      workload.Run{Kind: workload.LivySession, Application: workload.Spark},
			endpoint: "livy/" + cluster, clock: c, spec: `{"kind":"pyspark","proxyUser":"` + user + `"}`,
			foreign: foreign{path: "/sessions"},
			blank:   func() simulator { return livysim.New(c, livysim.Config{}) },
			adapter: func(h *http.Client) app.Engine {
				return livy.New("http://livy.local", h, "livy/"+cluster, c.Now)
			},
		}
	},
	workload.EMRContainers: func(c *clock) *rig {
		return &rig{
			endpoint: "emr-containers/" + account + "/" + region, clock: c,
			spec: `{"virtualClusterId":"` + virtual + `","name":"job","executionRoleArn":"arn:aws:iam::123456789012:role/job",
				"releaseLabel":"emr-7.12.0-latest","jobDriver":{"sparkSubmitJobDriver":{"entryPoint":"s3://bucket/job.py"}}}`,
			foreign: foreign{path: "/virtualclusters/" + virtual + "/jobruns", more: map[string]any{"clientToken": "x", "tags": map[string]string{"nightshift:user": user}}},
			blank: func() simulator {
				return emrcontainerssim.New(c, emrcontainerssim.Config{Account: account, Region: region, Clusters: []string{virtual}, Rates: unlimited()})
			},
			adapter: func(h *http.Client) app.Engine {
				return emrcontainers.New(emrapi.NewFromConfig(awsConfig(h)), account, region, c.Now, virtual)
			},
		}
	},
	workload.SageMakerTraining: onSageMaker("training-job/", "CreateTrainingJob", `{`+role+`,"OutputDataConfig":{"S3OutputPath":"s3://bucket/out"},
		"AlgorithmSpecification":{"TrainingImage":"image","TrainingInputMode":"File"},
		"ResourceConfig":{"InstanceType":"ml.m5.large","InstanceCount":1,"VolumeSizeInGB":10}}`, map[string]any{"TrainingJobName": "churn", "Tags": tagged}),
	workload.SageMakerProcessing: onSageMaker("processing-job/", "CreateProcessingJob", `{`+role+`,"AppSpecification":{"ImageUri":"image"},
		"ProcessingResources":{"ClusterConfig":{"InstanceCount":1,"InstanceType":"ml.m5.large","VolumeSizeInGB":10}}}`, map[string]any{"ProcessingJobName": "churn", "Tags": tagged}),
	workload.SageMakerPipeline: onSageMaker("pipeline/", "StartPipelineExecution", `{"PipelineName":"Nightly"}`, map[string]any{"ClientRequestToken": strings.Repeat("x", 32)},
		sagemakersim.Pipeline{Name: "Nightly", Steps: []sagemakersim.Step{{Name: "train", Type: "Training"}}}),
	workload.EMRNotebook: func(c *clock) *rig {
		return &rig{
			endpoint: "emr-notebook/" + account + "/" + region, clock: c,
			spec:    `{"ExecutionEngine":{"Id":"` + cluster + `","Type":"EMR"},"ServiceRole":"EMR_Notebooks_DefaultRole","EditorId":"e-1","RelativePath":"churn.ipynb"}`,
			foreign: foreign{"/", "ElasticMapReduce.StartNotebookExecution", map[string]any{"NotebookExecutionName": "churn", "Tags": tagged}},
			blank: func() simulator {
				return emrnotebooksim.New(c, emrnotebooksim.Config{Account: account, Region: region, Clusters: []emrnotebooksim.Cluster{{ID: cluster}}, Rates: unlimited()})
			},
			adapter: func(h *http.Client) app.Engine {
				return emrnotebook.New(emr.NewFromConfig(awsConfig(h)), account, region, c.Now)
			},
		}
	},
}

// records are the runs that a session owns, as the engine itself saw them.
func (r *rig) records() []simrun.Record {
	var own []simrun.Record
	for _, rec := range r.sim.Runs() {
		if strings.HasPrefix(rec.ID, r.prefix) {
			own = append(own, rec)
		}
	}
	return own
}

// plant starts a run behind Nightshift's back, as somebody else's client does:
// it carries the user where the engine has a place for it, and no stamp.
func (r *rig) plant(limit time.Duration) error {
	in := map[string]any{}
	if err := json.Unmarshal([]byte(r.spec), &in); err != nil {
		return err
	}
	for k, v := range r.foreign.more {
		in[k] = v
	}
	delete(in, "virtualClusterId") // it stands in the path
	if limit > 0 {
		in["StoppingCondition"] = map[string]any{"MaxRuntimeInSeconds": limit / time.Second}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	q := httptest.NewRequest(http.MethodPost, r.foreign.path, bytes.NewReader(body))
	q.Header.Set("X-Amz-Target", r.foreign.target)
	q.Header.Set("X-Requested-By", user)
	w := httptest.NewRecorder()
	r.sim.ServeHTTP(w, q)
	if w.Code/100 != 2 {
		return fmt.Errorf("planting a run on %s: %d %s", r.run.Engine, w.Code, w.Body)
	}
	return nil
}

// foreign is how somebody else starts a run: what is posted where, besides the
// spec.
type foreign struct {
	path, target string
	more         map[string]any
}

var tagged = []map[string]string{{"Key": "nightshift:user", "Value": user}}
