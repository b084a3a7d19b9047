// Package local is the whole of Nightshift in one process: the handlers that
// Lambda runs, the state machines that Step Functions runs, and a store, on one
// virtual clock, against simulated engines that speak the real protocols over
// HTTP on loopback. It wires; it must not decide. It is not for production and
// says so.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ec2api "github.com/aws/aws-sdk-go-v2/service/ec2"
	notebookapi "github.com/aws/aws-sdk-go-v2/service/emr"
	emrapi "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	sagemakerapi "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/cadence"
	"nightshift/internal/checkpoints"
	"nightshift/internal/checkpoints/s3sim"
	"nightshift/internal/config"
	"nightshift/internal/console"
	"nightshift/internal/cost"
	"nightshift/internal/doctor/account/accountsim"
	"nightshift/internal/edge"
	"nightshift/internal/engine/emrcontainers"
	"nightshift/internal/engine/emrcontainers/emrcontainerssim"
	"nightshift/internal/engine/emrnotebook"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/livy"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/engine/sagemaker"
	"nightshift/internal/engine/sagemaker/sagemakersim"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/identity"
	"nightshift/internal/inbound"
	"nightshift/internal/memstore"
	"nightshift/internal/notebook"
	"nightshift/internal/notify"
	"nightshift/internal/obs/panel"
	"nightshift/internal/outbound"
	"nightshift/internal/session"
	"nightshift/internal/vpc/vpcsim"
	"nightshift/internal/workflow"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

// The account and Region that the local system plays.
const (
	Account = "123456789012"
	Region  = "us-east-1"
)

// The endpoints of the simulated engines.
const (
	Livy            = "livy/j-2AXXXXXXGAPLF" // emr-7.12.0, background sessions on
	LivyOld         = "livy/j-1YONHTCP3YZKC" // emr-7.9.0: its sessions are interactive
	EMROnEKS        = "emr-containers/" + Account + "/" + Region
	SageMaker       = "sagemaker/" + Account + "/" + Region
	VirtualCluster  = "vc7n1ghtsh1ft0000000000001"
	EMRNotebook     = "emr-notebook/" + Account + "/" + Region
	NotebookCluster = "j-3NOTEBOOKCLUSTER"
	SecondCluster   = "j-4SECONDCLUSTER"  // for notebooks too, in the same VPC
	ForeignCluster  = "j-5FOREIGNCLUSTER" // for notebooks, in another VPC
)

// Pipeline is the one pipeline there is: it prepares data, then trains.
var Pipeline = sagemakersim.Pipeline{Name: "Churn", Steps: []sagemakersim.Step{
	{Name: "prepare", Type: "Processing", Work: 30 * time.Minute},
	{Name: "train", Type: "Training", After: []string{"prepare"}},
}}

// Options of a System.
type Options struct {
	Clock *clock.Clock
	Log   *slog.Logger // nil: silent
	// IndexLag makes index reads stale for as long as DynamoDB's may be.
	IndexLag time.Duration
	// Histories is how many events of executions that ended GetExecutionHistory
	// can still tell, those that ended last; 0: none.
	Histories int64
	// Store keeps the records; nil: a memstore of the system's own. The records
	// of a Store outlive the system. What does not: executions, and the engines'
	// runs, which a later system on the same records sees gone.
	Store app.Store
	// Members are other accounts' Regions with engines; Identity, where it is none of
	// ours, the place of Identity Center, which is a member without engines.
	Members  []config.Place
	Identity config.Place
	// Definitions are those of machines that are not today's, by their name: what
	// executions go on with that were begun before a deployment.
	Definitions map[string][]byte
}

// System is a running local system. Use New, and Close when done.
type System struct {
	Clock     *clock.Clock
	Store     app.Store
	App       *app.App
	Directory *directory
	Livy      map[string]*livysim.Sim // by endpoint
	EMR       *emrcontainerssim.Sim
	SageMaker *sagemakersim.Sim
	Notebooks *emrnotebooksim.Sim
	EC2       *vpcsim.Sim
	S3        *s3sim.Sim
	Cloud     *accountsim.Sim   // what else a doctor looks at
	URLs      map[string]string // of the engines on loopback, by endpoint
	Meter     *Meter
	Portal    *Portal
	Members   []*Member // with engines
	// CloudWatch has the metrics, and Troubles can be had to try out the alarms.
	CloudWatch *CloudWatch
	Troubles   Troubles

	emr      *emrapi.Client      // for state machines' own calls
	clusters *notebookapi.Client // likewise
	network  *ec2api.Client      // likewise
	bus      *bus
	spread   config.Spread
	runner   *asl.Runner
	machines map[string]*asl.Machine
	// definitions are the machines' as deployed, by name, substitutions made.
	definitions map[string]string
	aws         map[string]service // by the prefix of X-Amz-Target
	handlers    handlers
	servers     []*http.Server
	stream      sync.Map  // history entries on their way to run-effects, by record id
	since       time.Time // when the system was built
	// persistent: the records outlive the system, so the ids it makes must differ
	// from those that one before it made.
	persistent bool

	statesLost atomic.Bool // what Step Functions says of executions does not arrive

	mu        sync.Mutex
	announced []Announced
	onSaid    func(Announced)
	runs      int // executions that were given no name
}

// Announced is one event that Nightshift put on its bus.
type Announced struct {
	At         time.Time
	DetailType string
	Detail     json.RawMessage
}

// New builds a system; nothing runs before the clock does. Start puts the
// schedule into motion.
func New(o Options) (*System, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &System{Clock: o.Clock, URLs: map[string]string{}, Livy: map[string]*livysim.Sim{}, CloudWatch: &CloudWatch{now: o.Clock.Now}}
	s.Meter = newMeter(s.CloudWatch)
	if o.Store != nil {
		s.persistent, s.Store = true, streaming{o.Store, s.streamed}
	} else {
		records := memstore.New(memstore.WithIndexLag(o.Clock.Now, func() time.Duration { return o.IndexLag }))
		records.Subscribe(s.streamed)
		s.Store = records
	}
	s.spread = config.Spread{Hub: hub, Members: o.Members, Identity: o.Identity}
	if o.Identity != (config.Place{}) {
		s.spread.Members = append(slices.Clone(o.Members), o.Identity)
	}
	s.bus = &bus{clock: o.Clock, call: s.call, shelf: newShelf(), spread: s.spread, bars: s.Troubles.bars}
	s.Directory = newDirectory(s.bus)
	s.aws, s.since = awsServices(), o.Clock.Now()
	if err := s.load(o); err != nil {
		return nil, err
	}
	engines, err := s.engines()
	if err != nil {
		s.Close()
		return nil, err
	}
	world, err := s.cloud()
	if err != nil {
		s.Close()
		return nil, err
	}
	s.Cloud = accountsim.New(world)
	s.App = &app.App{
		Store: s.Store, Engines: engines, Identity: s.Directory,
		Starter: workflow.New(states{s}, machineARN(statemachines.Watch), machineARN(statemachines.Drain)),
		Waiters: workflow.New(states{s}, machineARN(statemachines.Watch), machineARN(statemachines.Drain)),
		Aborted: workflow.NewWaiting(states{s}, machineARN(statemachines.Run), machineARN(statemachines.SubmitJobRun), machineARN(statemachines.ProcessInVPC)),
		Runs:    workflow.NewRuns(states{s}, machineARN(statemachines.Run)), Again: inbound.Again,
		Moves: workflow.NewRuns(states{s}, machineARN(statemachines.MoveNotebook)), Placing: inbound.Placing, Elsewhere: inbound.Elsewhere, Spec: inbound.Spec,
		Announcer: notify.New(putter{s}, "nightshift", outbound.Encode),
		Parallel:  o.Clock.Parallel, Pause: o.Clock.Sleep, Parse: inbound.Parse, Meter: s.Meter, Log: o.Log, Now: o.Clock.Now,
		Endpoints:   s.endpoints(),
		Checkpoints: checkpoints.New(s.s3Client()),
		Book:        cost.Book{Table: cost.Published(), Home: Region, Clusters: hardware()},
	}
	if err := errors.Join(s.watchPortal(), s.askNames()); err != nil {
		s.Close()
		return nil, err
	}
	s.functions()
	return s, nil
}

// hardware is on what the simulated clusters are said to run.
func hardware() map[string]workload.Billing {
	three := workload.Billing{InstanceType: "m5.xlarge", Instances: 3}
	return map[string]workload.Billing{strings.TrimPrefix(Livy, "livy/"): three, strings.TrimPrefix(LivyOld, "livy/"): three, NotebookCluster: three}
}

// watchPortal makes the portal's list of live sessions a source of truth.
func (s *System) watchPortal() error {
	s.Portal = &Portal{}
	url, err := s.serve(s.Portal)
	if err != nil {
		return err
	}
	s.App.Sessions, err = identity.NewSessions(PortalSource, url, nil, http.DefaultClient)
	return err
}

// askNames has the names that runs carry asked of the simulated identity store, by
// the adapter that asks AWS's.
func (s *System) askNames() error {
	url, err := s.serve(s.Directory)
	if err != nil {
		return err
	}
	client := identitystore.NewFromConfig(localAWS(), func(o *identitystore.Options) {
		o.BaseEndpoint = aws.String(url)
		o.Retryer = aws.NopRetryer{}
	})
	s.App.IdentityStore, s.App.IsID = IdentityStore, isUserID
	s.App.Names = identity.New(identity.Settings{StoreID: IdentityStore, IsID: isUserID, Now: s.Clock.Now, Log: s.App.Log, Pause: s.Clock.Sleep}, nil, client, nil)
	return nil
}

// localAWS is what the clients of the simulated services have in common.
func localAWS() aws.Config {
	return aws.Config{HTTPClient: simrun.Client(), Region: Region, Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
}

// load reads the machines with the substitutions that the deployment would
// make.
func (s *System) load(o Options) error {
	arns := map[string]string{
		statemachines.OpenSessionArn: functionARN("open-session"), statemachines.StartRunArn: functionARN("start-run"),
		statemachines.ObserveEndpointArn: functionARN("observe-endpoint"), statemachines.DrainEndpointArn: functionARN("drain-endpoint"),
		statemachines.WatchMachineArn: machineARN(statemachines.Watch), statemachines.DrainMachineArn: machineARN(statemachines.Drain),
		statemachines.RestartSessionArn: functionARN("restart-session"), statemachines.PreflightArn: functionARN("preflight"),
		statemachines.MoveNotebookArn: functionARN("move-notebook"),
	}
	s.machines, s.definitions = map[string]*asl.Machine{}, map[string]string{}
	for _, name := range statemachines.Names() {
		definition, before := o.Definitions[name]
		if !before {
			definition = statemachines.Definition(name)
		}
		subs := statemachines.Filled(definition, arns)
		m, err := asl.Load(definition, subs, statemachines.Integrations()...)
		if err != nil {
			return fmt.Errorf("state machine %s: %w", name, err)
		}
		s.machines[machineARN(name)] = m
		text := string(definition)
		for n, v := range subs {
			text = strings.ReplaceAll(text, "${"+n+"}", v)
		}
		s.definitions[name] = text
	}
	s.runner = asl.New(s.Clock, services{s}, asl.Options{Seed: 1, DropHistories: true, HistoriesKept: o.Histories, OnStatus: s.executionEnded})
	return nil
}

func functionARN(name string) string {
	return "arn:aws:lambda:" + Region + ":" + Account + ":function:nightshift-" + name
}

func machineARN(name string) string {
	return "arn:aws:states:" + Region + ":" + Account + ":stateMachine:nightshift-" + name
}

// functions are the handlers that the mains below functions/ hand to the
// runtime, behind the runtime's own way of calling them.
func (s *System) functions() {
	s.handlers = handlers{}
	for name, h := range map[string]any{
		"on-logout":        edge.Queue(s.App, "on-logout"),
		"on-revocation":    edge.Queue(s.App, "on-revocation"),
		"on-run-event":     edge.Queue(s.App, "on-run-event"),
		"on-schedule":      edge.Schedule(s.App),
		"open-session":     edge.OpenSession(s.App, inbound.ParseRun),
		"start-run":        edge.StartRun(s.App, inbound.ParseRun),
		"observe-endpoint": edge.ObserveEndpoint(s.App),
		"drain-endpoint":   edge.DrainEndpoint(s.App),
		"run-effects":      edge.RunEffects(s.App, s.decodeEntry),
		"restart-session":  edge.RestartSession(s.App),
		"console":          console.Gateway(console.New(s.App, console.Site{Account: Account, Region: Region}).People(), console.Roles{}),
		"repair":           console.Gateway(console.New(s.App, console.Site{Account: Account, Region: Region}).Repairs(), console.Roles{}),
		"preflight":        edge.Preflight(s.preflight().Check, inbound.ParseRun),
		"move-notebook":    edge.MoveNotebook(s.App, edge.Moves{Parse: inbound.ParseMove, Like: notebook.Like, Judge: notebook.Judge}),
	} {
		s.handlers[name] = lambda.NewHandler(h)
	}
}

// call invokes a function as the runtime does.
func (s *System) call(ctx context.Context, function string, payload []byte) ([]byte, error) {
	h, ok := s.handlers[function]
	if !ok {
		return nil, fmt.Errorf("there is no function %s", function)
	}
	r, broken := s.Troubles.of(function)
	if !broken {
		r.out, r.err = h.Invoke(ctx, payload)
	}
	s.invoked(function, r.err)
	return r.out, r.err
}

// streamLag is how long a change takes from the table to run-effects.
const streamLag = 200 * time.Millisecond

// streamed carries a history entry to run-effects, as the table's stream does.
func (s *System) streamed(e app.Entry) {
	id := fmt.Sprintf("%s/%d", e.SessionID, e.Version)
	s.stream.Store(id, e)
	s.Clock.Go(func() {
		ctx := context.Background()
		since := s.Clock.Now()
		if s.Clock.Sleep(ctx, streamLag+time.Duration(s.Troubles.lag.Load())) != nil {
			return
		}
		batch := events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{{EventID: id, EventName: "INSERT"}}}
		s.aged(batch, since)
		payload, err := json.Marshal(batch)
		if err == nil {
			_, err = s.call(ctx, panel.Streamed, payload)
		}
		if err != nil {
			s.bus.shelf.fail(panel.Streamed) // it stays unfinished, and the sweep drives it again
		}
		s.stream.Delete(id)
	})
}

func (s *System) decodeEntry(r events.DynamoDBEventRecord) (app.Entry, bool, error) {
	e, ok := s.stream.Load(r.EventID)
	if !ok {
		return app.Entry{}, false, fmt.Errorf("there is no stream record %s", r.EventID)
	}
	return e.(app.Entry), true, nil
}

// Start begins the schedule: on-schedule is called each minute.
func (s *System) Start() {
	if s.persistent {
		s.keepTime()
	}
	s.Clock.Go(func() {
		ctx := context.Background()
		for {
			s.sample()
			if !s.Troubles.silent.Load() {
				if _, err := s.call(ctx, panel.Scheduled, []byte(`{}`)); err != nil {
					s.bus.shelf.fail(panel.Scheduled)
					s.App.Log.Warn("on-schedule", "error", err.Error())
				}
			}
			if s.Clock.Sleep(ctx, cadence.Sweep) != nil {
				return
			}
		}
	})
}

// Put takes an event as EventBridge would: AWS's on the default bus, a member's on
// the default bus there, ours on our own.
func (s *System) Put(body []byte) error {
	var e struct {
		Source string `json:"source"`
	}
	_ = json.Unmarshal(body, &e) // put says what is wrong with it
	s.matched(body)
	return s.bus.put(body, e.Source == "nightshift")
}

// Lose records an event in CloudTrail's history as if EventBridge had dropped
// it.
func (s *System) Lose(body []byte) { s.bus.record(body) }

// Run starts an execution of the run machine and answers its ARN.
func (s *System) Run(name string, input []byte) (string, error) {
	return s.StartMachine(statemachines.Run, name, input)
}

// StartMachine starts an execution of a machine by its name, and answers its ARN.
func (s *System) StartMachine(machine, name string, input []byte) (string, error) {
	e, err := s.runner.Start(s.machines[machineARN(machine)], machineARN(machine), name, input)
	if err != nil {
		return "", err
	}
	return e.ARN(), nil
}

// Execution is one execution, by its ARN.
func (s *System) Execution(arn string) (*asl.Execution, error) { return s.runner.Execution(arn) }

// Abort stops an execution, as StopExecution does.
func (s *System) Abort(arn string) error { return s.runner.Stop(arn, "Aborted", "stopped by its user") }

// LoseExecutions says whether the events of executions that end are lost on the way.
func (s *System) LoseExecutions(lost bool) { s.statesLost.Store(lost) }

// executionEnded says on the default bus what Step Functions says of an
// execution that ended.
func (s *System) executionEnded(e *asl.Execution) {
	s.ended(e)
	if s.statesLost.Load() {
		return
	}
	name, cause := e.Failure()
	body, err := json.Marshal(map[string]any{
		"version": "0", "id": "states-" + e.Name() + "-" + string(e.Status()), "detail-type": "Step Functions Execution Status Change", "source": "aws.states",
		"account": Account, "region": Region, "time": s.Clock.Now().UTC().Format(time.RFC3339), "resources": []string{e.ARN()},
		"detail": map[string]any{
			"executionArn": e.ARN(), "stateMachineArn": e.MachineARN(), "name": e.Name(), "status": string(e.Status()),
			"startDate": e.StartedAt().UnixMilli(), "stopDate": s.Clock.Now().UnixMilli(), "error": name, "cause": cause,
		},
	})
	if err == nil {
		_ = s.bus.route(body, false) // a broken rule shows in its own test
	}
}

// Announced gives what Nightshift has said on its bus so far.
func (s *System) Announced() []Announced {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Announced(nil), s.announced...)
}

// OnAnnounced calls f with each further event that Nightshift says.
func (s *System) OnAnnounced(f func(Announced)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onSaid = f
}

func (s *System) said(a Announced) {
	s.mu.Lock()
	s.announced = append(s.announced, a)
	if extra := len(s.announced) - historyKept; extra > 0 {
		s.announced = append([]Announced(nil), s.announced[extra:]...)
	}
	f := s.onSaid
	s.mu.Unlock()
	if f != nil {
		f(a)
	}
}

// engines starts the simulators on loopback and gives the real adapters that
// speak to them.
func (s *System) engines() (map[string]app.Engine, error) {
	emrConfig := emrcontainerssim.Config{Account: Account, Region: Region, Clusters: []string{VirtualCluster}}
	if s.persistent {
		emrConfig.Series = s.since.Unix()
	}
	s.EMR = emrcontainerssim.New(s.Clock, emrConfig)
	s.SageMaker = sagemakersim.New(s.Clock, sagemakersim.Config{Account: Account, Region: Region, Pipelines: []sagemakersim.Pipeline{Pipeline}})
	notebooks := emrnotebooksim.Config{Account: Account, Region: Region, Clusters: []emrnotebooksim.Cluster{
		{ID: NotebookCluster, Subnet: Subnets[0]}, {ID: SecondCluster, Subnet: Subnets[1]}, {ID: ForeignCluster, Subnet: OtherSubnet},
	}}
	if s.persistent {
		notebooks.Series = s.since.Unix()
	}
	s.Notebooks = emrnotebooksim.New(s.Clock, notebooks)
	for _, endpoint := range []string{Livy, LivyOld} {
		s.Livy[endpoint] = livysim.New(s.Clock, livysim.Config{SkipBusy: true})
	}
	s.EC2, s.S3 = vpcsim.New(Network()), s3sim.New()
	for endpoint, h := range map[string]http.Handler{ec2: s.EC2, s3: s.S3, EMROnEKS: s.EMR, SageMaker: s.SageMaker, EMRNotebook: s.Notebooks, Livy: s.Livy[Livy], LivyOld: s.Livy[LivyOld]} {
		url, err := s.serve(h)
		if err != nil {
			return nil, err
		}
		s.URLs[endpoint] = url
	}
	conf := localAWS()
	s.emr = emrapi.NewFromConfig(conf, func(o *emrapi.Options) { o.BaseEndpoint = aws.String(s.URLs[EMROnEKS]); o.Retryer = aws.NopRetryer{} })
	sm := sagemakerapi.NewFromConfig(conf, func(o *sagemakerapi.Options) {
		o.BaseEndpoint = aws.String(s.URLs[SageMaker])
		o.Retryer = aws.NopRetryer{}
	})
	s.network = s.ec2Client()
	s.clusters = notebookapi.NewFromConfig(conf, func(o *notebookapi.Options) {
		o.BaseEndpoint = aws.String(s.URLs[EMRNotebook])
		o.Retryer = aws.NopRetryer{}
	})
	clusters := app.PerEndpoint{}
	for _, endpoint := range []string{Livy, LivyOld} {
		clusters[endpoint] = livy.New(s.URLs[endpoint], http.DefaultClient, endpoint, s.Clock.Now)
	}
	all := map[string]app.Engine{
		"emr-containers": emrcontainers.New(s.emr, Account, Region, s.Clock.Now),
		"sagemaker":      sagemaker.New(sm, Account, Region, s.Clock.Now),
		"emr-notebook":   emrnotebook.New(s.clusters, Account, Region, s.Clock.Now),
		"livy":           clusters,
	}
	return all, s.addMembers(all)
}

// serve puts a handler on a free port of loopback until Close.
func (s *System) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("no port on loopback: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), nil
}

// Close stops the clock and every server.
func (s *System) Close() {
	s.Clock.Close()
	for _, server := range s.servers {
		_ = server.Close()
	}
}

// services carries out the tasks of state machines.
type services struct{ s *System }

// Invoke calls a function by its ARN; its error goes by the outermost Go type,
// which is what Lambda reports.
func (v services) Invoke(ctx context.Context, arn string, payload []byte) ([]byte, error) {
	const prefix = "arn:aws:lambda:" + Region + ":" + Account + ":function:nightshift-"
	out, err := v.s.call(ctx, arn[min(len(prefix), len(arn)):], payload)
	if err == nil {
		return out, nil
	}
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	cause, _ := json.Marshal(map[string]string{"errorMessage": err.Error(), "errorType": t.Name()})
	return nil, &asl.TaskError{Name: t.Name(), Cause: string(cause)}
}

// StartExecution starts another execution.
func (v services) StartExecution(_ context.Context, arn, name string, input []byte) (string, error) {
	m, ok := v.s.machines[arn]
	if !ok {
		return "", errors.New("StateMachineDoesNotExist: " + arn)
	}
	e, err := v.s.runner.Start(m, arn, name, input)
	if err != nil {
		return "", err
	}
	return e.ARN(), nil
}

// ExecutionOf is the ARN of the execution of run that opened a session; ""
// where none did.
func (s *System) ExecutionOf(sessionID string) string {
	for _, e := range s.runner.Executions() {
		if app.SessionOfExecution(e.ARN()) == sessionID {
			return e.ARN()
		}
	}
	return ""
}

// Defaults are the settings of a local system that nobody has configured:
// background sessions on everywhere but on the old Livy cluster and for
// SageMaker, so that a newcomer sees both fates.
func (s *System) Defaults() error {
	on := session.Facts{IdentityPropagation: session.On, ApplicationBackground: session.On, ClusterBackground: session.On, ReleaseLabel: "emr-7.12.0"}
	old, classic := on, on
	old.ReleaseLabel = "emr-7.9.0"
	classic.ApplicationBackground = session.Off
	s.Directory.SetFacts(Livy, "", on)
	s.Directory.SetFacts(LivyOld, "", old)
	s.Directory.SetFacts(EMROnEKS, "", on)
	s.Directory.SetFacts(SageMaker, "", classic)
	s.Directory.SetFacts(EMRNotebook, "", on)
	for _, m := range s.Members {
		emr, training := m.Endpoints()
		s.Directory.SetFacts(emr, "", on)
		s.Directory.SetFacts(training, "", classic)
	}
	for _, name := range []string{"ana", "ben", "chloe", "dora"} {
		s.Directory.SetName(name, userPrefix+name)
	}
	policy, err := s.Store.Policy(context.Background())
	if err != nil || policy.Version > 0 {
		return err // an earlier system on these records has set it
	}
	policy.Version, policy.ChangedAt, policy.InstanceBackground = 1, s.Clock.Now(), session.On
	return s.Store.PutPolicy(context.Background(), policy)
}
