package local_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/asl"
	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
	"nightshift/internal/network"
	"nightshift/statemachines"
)

// processing starts process-in-vpc on its sample and plays until a while has
// passed.
func processing(t *testing.T, plant func(*local.System), edit func(spec map[string]any), d time.Duration) (*local.System, *asl.Execution) {
	t.Helper()
	start := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	c := clock.New(start)
	s, err := local.New(local.Options{Clock: c, Histories: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Defaults(); err != nil {
		t.Fatal(err)
	}
	var input map[string]any
	if err := json.Unmarshal(statemachines.Inputs(statemachines.ProcessInVPC)["process-in-vpc.json"], &input); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(input["spec"].(map[string]any))
	}
	if plant != nil {
		plant(s)
	}
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	arn, err := s.StartMachine(statemachines.ProcessInVPC, "prepare", body)
	if err != nil {
		t.Fatal(err)
	}
	c.RunUntil(start.Add(d))
	e, err := s.Execution(arn)
	if err != nil {
		t.Fatal(err)
	}
	return s, e
}

func outcome(e *asl.Execution) string {
	name, _ := e.Failure()
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Status(), strings.Join(e.Path(), " "), name))
}

// A job whose network is as it should be runs under a session to its end, and the
// output leads to its logs and metrics (S6.1, S6.3).
func TestS6_ProcessInVPC(t *testing.T) {
	s, e := processing(t, nil, nil, 90*time.Minute)
	if got := outcome(e); got != "SUCCEEDED Preflight Judge Open Start Succeeded" {
		_, cause := e.Failure()
		t.Fatalf("%s %s", got, cause)
	}
	var out struct {
		SessionID string `json:"sessionId"`
		Succeeded bool   `json:"succeeded"`
		Links     map[string]string
	}
	if err := json.Unmarshal(e.Output(), &out); err != nil {
		t.Fatal(err)
	}
	held, err := s.Store.Session(t.Context(), out.SessionID)
	if err != nil || !out.Succeeded || out.SessionID != app.SessionOfExecution(e.ARN()) {
		t.Fatalf("%+v %v", out, err)
	}
	// The links were made before the job had its name.
	name := strings.TrimPrefix(held.Run.ID, "processing-job/")
	if out.Links["logStreamPrefix"] != name+"/" || !strings.HasSuffix(out.Links["job"], "/processing-jobs/"+name) || !strings.Contains(out.Links["metrics"], name) || name == "" {
		t.Errorf("the job is %q, the links %v", held.Run.ID, out.Links)
	}
}

// Every way in which a job is not started, by its path: nothing was opened, and
// nothing runs.
func TestS6_ProcessInVPCIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(*local.System)
		edit  func(map[string]any)
		want  string
		says  []string
	}{
		{name: "three faults at once", plant: func(s *local.System) {
			s.EC2.Change(func(f *network.Facts) {
				f.Subnets[0].Free, f.Subnets[1].Free, f.VPCs[0].DNSSupport, f.Groups[0].Ingress = 0, 3, false, nil
			})
		}, want: "FAILED Preflight Judge Refused PreflightFailed", says: []string{`"check":"free-addresses"`, `"check":"dns"`, `"check":"group-admits-itself"`, `"fix":"Turn enableDnsSupport on."`}},
		{name: "no route to S3", plant: func(s *local.System) {
			s.EC2.Change(func(f *network.Facts) { f.Tables[1].Routes = f.Tables[1].Routes[:1] })
		}, want: "FAILED Preflight Judge Refused PreflightFailed", says: []string{`"check":"s3-route"`, local.Subnets[0], local.Subnets[1]}},
		{name: "a subnet that does not exist", edit: func(spec map[string]any) {
			spec["NetworkConfig"].(map[string]any)["VpcConfig"].(map[string]any)["Subnets"] = []any{local.Subnets[0], "subnet-ffffffff"}
		}, want: "FAILED Preflight Judge Refused PreflightFailed", says: []string{`"check":"subnet-exists"`, `"where":"subnet-ffffffff"`}},
		{name: "network ACLs may not be read", plant: func(s *local.System) { s.EC2.Refuse("DescribeNetworkAcls", 403, "UnauthorizedOperation") },
			want: "FAILED Preflight Judge Refused PreflightUnknown", says: []string{`"check":"network-acl"`, `"result":"unknown"`}},
		{name: "EC2 is down", plant: func(s *local.System) { s.EC2.Refuse("DescribeSubnets", 503, "Unavailable") },
			want: "FAILED Preflight Failed Unavailable", says: []string{"ec2: read subnets"}},
		{name: "a spec that is none", edit: func(spec map[string]any) { spec["NetworkConfig"] = "none" },
			want: "FAILED Preflight Failed InvalidInput", says: []string{"spec: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, e := processing(t, c.plant, c.edit, 10*time.Minute)
			_, cause := e.Failure()
			if got := outcome(e); got != c.want {
				t.Errorf("%s, want %s; %s", got, c.want, cause)
			}
			for _, part := range c.says {
				if !strings.Contains(cause, part) {
					t.Errorf("the cause has no %s: %s", part, cause)
				}
			}
			page, err := s.Store.List(t.Context(), "")
			if err != nil || len(page.Sessions) > 0 {
				t.Errorf("%d sessions, %v", len(page.Sessions), err)
			}
		})
	}
}

// A job that fails fails the execution, whose cause leads to its logs; one whose
// caller aborts is stopped.
func TestS6_ProcessInVPCEndsOtherwise(t *testing.T) {
	_, e := processing(t, nil, func(spec map[string]any) {
		spec["Environment"] = map[string]string{"NIGHTSHIFT_SIM_WORK": "5m", "NIGHTSHIFT_SIM_FAIL": "true"}
	}, time.Hour)
	name, cause := e.Failure()
	var said struct {
		Cause string
		Links map[string]string
	}
	if err := json.Unmarshal([]byte(cause), &said); err != nil || outcome(e) != "FAILED Preflight Judge Open Start Failed SessionEnded" || said.Cause != "failed" || said.Links["logGroup"] != "/aws/sagemaker/ProcessingJobs" {
		t.Errorf("%s %s %s: %v", outcome(e), name, cause, err)
	}
	s, e := processing(t, nil, nil, 10*time.Minute)
	if err := s.Abort(e.ARN()); err != nil {
		t.Fatal(err)
	}
	s.Clock.RunUntil(e.StartedAt().Add(40 * time.Minute))
	held, err := s.Store.Session(t.Context(), app.SessionOfExecution(e.ARN()))
	if err != nil || held.Status != "ENDED" || held.End.Cause != "waiter-aborted" {
		t.Errorf("%s %s %v", held.Status, held.End.Cause, err)
	}
}

// Addresses of a job that was admitted and does not run yet are not given away
// twice (S6.1).
func TestS6_1SecondJobWaits(t *testing.T) {
	s, first := processing(t, func(s *local.System) {
		s.EC2.Change(func(f *network.Facts) { f.Subnets[0].Free, f.Subnets[1].Free = 5, 2 })
	}, nil, 10*time.Second)
	second, err := s.StartMachine(statemachines.ProcessInVPC, "again", first.Input())
	if err != nil {
		t.Fatal(err)
	}
	s.Clock.RunUntil(first.StartedAt().Add(40 * time.Second))
	e, err := s.Execution(second)
	if err != nil {
		t.Fatal(err)
	}
	if _, cause := e.Failure(); outcome(e) != "FAILED Preflight Judge Refused PreflightFailed" || !strings.Contains(cause, "jobs already admitted 4") {
		t.Errorf("%s %s", outcome(e), cause)
	}
}
