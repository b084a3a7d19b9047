package statemachines_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/asl"
	"nightshift/internal/cadence"
	"nightshift/statemachines"
)

// service plays EMR on EKS for the machines about virtual clusters: each request
// and each look is answered by a test.
type service struct {
	*world
	call   func(resource string, arguments map[string]any, n int) (any, error)
	states []string // what the looks see, in turn; the last for ever
	looks  []time.Duration
	calls  map[string]int
	asked  map[string]any // the newest arguments of startJobRun
	ended  []string
}

func newService(t *testing.T) *service {
	s := &service{world: newWorld(t, false), calls: map[string]int{}}
	s.r = asl.New(s.clock, s, asl.Options{Seed: 7})
	s.call = func(resource string, _ map[string]any, _ int) (any, error) {
		if strings.Contains(resource, "describe") {
			return map[string]any{"VirtualCluster": map[string]any{"State": s.states[len(s.states)-1]}}, nil
		}
		return map[string]any{"Id": "x-1", "Name": "etl"}, nil
	}
	return s
}

func short(resource string) string { return resource[strings.LastIndex(resource, ":")+1:] }

func (s *service) Call(_ context.Context, resource string, arguments map[string]any) (any, error) {
	s.calls[short(resource)]++
	if strings.Contains(resource, "startJobRun") {
		s.asked = arguments
	}
	return s.call(resource, arguments, s.calls[short(resource)])
}

func (s *service) Poll(context.Context, string, any) (any, bool, error) {
	s.looks = append(s.looks, s.clock.Now().Sub(start))
	state := s.states[min(len(s.looks), len(s.states))-1]
	switch state {
	case "COMPLETED", "TERMINATED":
		return map[string]any{"Id": "x-1", "State": state}, true, nil
	case "FAILED", "CANCELLED", "ARRESTED":
		return nil, true, &asl.TaskError{Name: asl.ErrorTaskFailed, Cause: state}
	}
	return nil, false, nil
}

func (s *service) Cancel(_ context.Context, resource string, _ any) {
	s.ended = append(s.ended, fmt.Sprint(short(resource), " ", s.clock.Now().Sub(start)))
}

// play runs a machine on one of its samples and gives status, path and end.
func (s *service) play(machine, sample string) (*asl.Execution, string) {
	s.t.Helper()
	e := s.start(machine, "one", string(statemachines.Inputs(machine)[sample]))
	s.clock.Run()
	return e, told(e)
}

func told(e *asl.Execution) string {
	text := string(e.Output())
	if name, cause := e.Failure(); name != "" {
		text = name + " " + cause
	}
	return fmt.Sprintf("%s %s %s", e.Status(), strings.Join(e.Path(), " "), text)
}

// forEver fails each request.
func forEver(name, cause string) func(string, map[string]any, int) (any, error) {
	return func(string, map[string]any, int) (any, error) { return nil, &asl.TaskError{Name: name, Cause: cause} }
}

// S4.3: create, request and response.
func TestCreateVirtualCluster(t *testing.T) {
	s := newService(t)
	var sent map[string]any
	s.call = func(_ string, arguments map[string]any, n int) (any, error) {
		if sent = arguments; n < 3 {
			return nil, &asl.TaskError{Name: "EMRContainers.ThrottlingException", Cause: "slower"}
		}
		return map[string]any{"Id": "vc1", "Name": "etl", "Arn": "arn"}, nil
	}
	_, got := s.play(statemachines.CreateVirtualCluster, "create-virtual-cluster.json")
	if want := `SUCCEEDED Create Created {"Arn":"arn","Id":"vc1","Name":"etl"}`; got != want || s.looks != nil {
		t.Errorf("got %s, want %s; looked at %v", got, want, s.looks)
	}
	if got := slices.Sorted(maps.Keys(sent)); !slices.Equal(got, []string{"ContainerProvider", "Name", "Tags"}) {
		t.Errorf("asked with %v", got)
	}
	s = newService(t)
	s.call = forEver("EMRContainers.ValidationException", "A virtual cluster already exists in the given namespace")
	_, got = s.play(statemachines.CreateVirtualCluster, "create-virtual-cluster.json")
	if want := `FAILED Create Failed EMRContainers.ValidationException A virtual cluster already exists in the given namespace`; got != want || s.calls["createVirtualCluster"] != 1+cadence.TaskAttempts {
		t.Errorf("got %s, want %s; %v", got, want, s.calls)
	}
}

// S4.3: delete and wait until TERMINATED, on every way.
func TestDeleteVirtualCluster(t *testing.T) {
	const arrested = `FAILED Delete Look Decide Arrested VirtualClusterArrested Virtual cluster vc7n1ghtsh1ft0000000000001 is ARRESTED: EMR on EKS cannot reach its namespace, so it cannot clean up there. See that the EKS cluster and the namespace exist and that EMR on EKS has access to them, then start this machine again. The deletion said: `
	refused := func(s *service, describe error) {
		s.call = func(resource string, _ map[string]any, _ int) (any, error) {
			switch {
			case !strings.Contains(resource, "describe"):
				return nil, &asl.TaskError{Name: "EMRContainers.ValidationException", Cause: "has active job runs"}
			case describe != nil:
				return nil, describe
			}
			return map[string]any{"VirtualCluster": map[string]any{"State": s.states[0]}}, nil
		}
	}
	for _, c := range []struct {
		name   string
		states []string
		plan   func(*service)
		want   string
	}{
		{"it is gone after two minutes", []string{"TERMINATING", "TERMINATED"}, nil, `SUCCEEDED Delete Deleted {"Id":"vc7n1ghtsh1ft0000000000001","State":"TERMINATED"}`},
		{"it is arrested, and Step Functions says so", []string{"ARRESTED"}, nil, arrested + "States.TaskFailed ARRESTED"},
		{"it is arrested, and Step Functions waits without end", []string{"TERMINATING", "TERMINATING", "waits for ARRESTED"}, func(s *service) {
			s.call = func(resource string, _ map[string]any, _ int) (any, error) {
				if strings.Contains(resource, "describe") {
					return map[string]any{"VirtualCluster": map[string]any{"State": "ARRESTED"}}, nil
				}
				return map[string]any{"Id": "x-1"}, nil
			}
		}, arrested + "States.Timeout "},
		{"it was deleted before", []string{"TERMINATED"}, func(s *service) { refused(s, nil) }, `SUCCEEDED Delete Look Decide Deleted {"Id":"vc7n1ghtsh1ft0000000000001","State":"TERMINATED"}`},
		{"it has active job runs", []string{"RUNNING"}, func(s *service) { refused(s, nil) }, `FAILED Delete Look Decide Failed EMRContainers.ValidationException has active job runs`},
		{"nobody can look", []string{"RUNNING"}, func(s *service) { refused(s, failure("EMRContainers.InternalServerException", "down")) }, `FAILED Delete Look Failed EMRContainers.ValidationException has active job runs`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			if s.states = c.states; c.plan != nil {
				c.plan(s)
			}
			e, got := s.play(statemachines.DeleteVirtualCluster, "delete-virtual-cluster.json")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if e.Events() > 60 {
				t.Errorf("%d events", e.Events())
			}
		})
	}
}

// session answers open-session for submit-job-run.
func (s *service) session(status string, err error) {
	s.function = func(_ *world, name string, in map[string]any) (any, error) {
		input, _ := json.Marshal(in["input"])
		s.note("%s %s %s", name, in["execution"], input)
		return map[string]any{"sessionId": "s-0123456789abcdef01234567", "status": status}, err
	}
}

// S4.2, S4.3: submit and wait, with Step Functions' own pace, on every way.
func TestSubmitJobRun(t *testing.T) {
	minutes := func(n ...int) (all []time.Duration) {
		for _, m := range n {
			all = append(all, time.Duration(m)*time.Minute)
		}
		return all
	}
	running := slices.Repeat([]string{"RUNNING"}, 11)
	for _, c := range []struct {
		name   string
		status string
		open   error
		states []string
		call   func(string, map[string]any, int) (any, error)
		abort  time.Duration
		want   string
		looks  []time.Duration
		ended  string
	}{
		{name: "it completes in the thirteenth minute", status: "ACTIVE", states: append(slices.Clone(running), "COMPLETED"),
			want: `SUCCEEDED Open Decide Submit Succeeded {"Id":"x-1","State":"COMPLETED"}`, looks: minutes(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)},
		{name: "it fails", status: "ACTIVE", states: []string{"RUNNING", "FAILED"}, want: `FAILED Open Decide Submit Failed States.TaskFailed FAILED`},
		{name: "it is cancelled elsewhere", status: "ACTIVE", states: []string{"CANCELLED"}, want: `FAILED Open Decide Submit Failed States.TaskFailed CANCELLED`},
		{name: "the request is refused for good", status: "ACTIVE", call: forEver("EMRContainers.ValidationException", "no such role"), want: `FAILED Open Decide Submit Failed EMRContainers.ValidationException no such role`},
		{name: "the user is disabled", status: "ENDING", want: `FAILED Open Decide Ended SessionEnded The session s-0123456789abcdef01234567 is ENDING: nothing was started under it.`},
		{name: "the user is locked", open: failure("UserLocked", "until Monday"), want: `FAILED Open Failed UserLocked {"errorMessage":"until Monday","errorType":"UserLocked"}`},
		{name: "the input is wrong", open: failure("InvalidInput", "user: is missing"), want: `FAILED Open Failed InvalidInput {"errorMessage":"user: is missing","errorType":"InvalidInput"}`},
		{name: "it never ends", status: "ACTIVE", states: []string{"RUNNING"}, want: `FAILED Open Decide Submit Failed States.Timeout `},
		{name: "the execution is aborted", status: "ACTIVE", states: []string{"RUNNING"}, abort: 150 * time.Second,
			want: `ABORTED Open Decide Submit Aborted by the caller`, looks: minutes(1, 2), ended: "startJobRun.sync 2m30s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			s.session(c.status, c.open)
			if s.states = c.states; c.call != nil {
				s.call = c.call
			}
			if c.abort > 0 {
				s.later(c.abort, func() error {
					return s.r.Stop(asl.ExecutionARN(machineARN(statemachines.SubmitJobRun), "one"), "Aborted", "by the caller")
				})
			}
			e, got := s.play(statemachines.SubmitJobRun, "submit-job-run.spark.json")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if c.looks != nil && !slices.Equal(s.looks, c.looks) {
				t.Errorf("looked at %v\nwant      %v", s.looks, c.looks)
			}
			if got := strings.Join(s.ended, " "); got != c.ended {
				t.Errorf("cancelled %q, want %q", got, c.ended)
			}
			if e.Events() > 60 {
				t.Errorf("%d events", e.Events())
			}
		})
	}
}

// Every input of StartJobRun reaches the service as it came, with our stamp;
// what is absent is left out.
func TestSubmitJobRunSendsTheRequest(t *testing.T) {
	const session = "s-0123456789abcdef01234567"
	for sample, body := range statemachines.Inputs(statemachines.SubmitJobRun) {
		s := newService(t)
		s.session("ACTIVE", nil)
		s.states = []string{"COMPLETED"}
		s.play(statemachines.SubmitJobRun, sample)
		var in struct{ JobRun map[string]any }
		if err := json.Unmarshal(body, &in); err != nil {
			t.Fatal(err)
		}
		want := in.JobRun
		tags, _ := want["Tags"].(map[string]any)
		if tags == nil {
			tags = map[string]any{}
		}
		tags["nightshift:session"], tags["nightshift:user"] = session, "u-ana"
		want["Tags"], want["ClientToken"] = tags, "ns-"+session
		got, _ := json.Marshal(s.asked)
		wanted, _ := json.Marshal(want)
		if string(got) != string(wanted) {
			t.Errorf("%s: sent %s\nwant %s", sample, got, wanted)
		}
		if opened := `open-session ` + asl.ExecutionARN(machineARN(statemachines.SubmitJobRun), "one") +
			` {"endpoint":"emr-containers/123456789012/us-east-1","engine":"emr-containers","spec":{},"user":"u-ana"}`; s.notes() != opened {
			t.Errorf("%s: opened by %s\nwant %s", sample, s.notes(), opened)
		}
	}
}

// S4.4: the machine restart waits for the run before to be over.
func TestRestartMachine(t *testing.T) {
	started := map[string]any{"started": true, "waitsFor": "", "session": "s-2"}
	ending := map[string]any{"started": false, "waitsFor": "its run is still being stopped"}
	for _, c := range []struct {
		name   string
		answer func(n int) (any, error)
		want   string
		took   time.Duration
	}{
		{"at once", func(int) (any, error) { return started, nil }, `SUCCEEDED Begin Restart Decide Started {"session":"s-2","started":true,"waitsFor":""}`, 0},
		{"after the engine's grace", func(n int) (any, error) {
			if n < 3 {
				return ending, nil
			}
			return started, nil
		}, `SUCCEEDED Begin Restart Decide Grace Restart Decide Grace Restart Decide Started {"session":"s-2","started":true,"waitsFor":""}`, 2 * statemachines.GraceEvery},
		{"there is no checkpoint", func(int) (any, error) { return nil, failure("InvalidInput", "Set CheckpointConfig") },
			`FAILED Begin Restart Failed InvalidInput {"errorMessage":"Set CheckpointConfig","errorType":"InvalidInput"}`, 0},
		{"the user is locked", func(int) (any, error) { return nil, failure("UserLocked", "until Monday") },
			`FAILED Begin Restart Failed UserLocked {"errorMessage":"until Monday","errorType":"UserLocked"}`, 0},
		{"the run resists", func(int) (any, error) { return ending, nil }, "FAILED Begin " + strings.Repeat("Restart Decide Grace ", statemachines.GraceRounds-1) +
			"Restart Decide TooLong StillEnding its run is still being stopped", (statemachines.GraceRounds - 1) * statemachines.GraceEvery},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			n := 0
			w.function = func(_ *world, name string, in map[string]any) (any, error) {
				if n++; name != "restart-session" || in["execution"] != asl.ExecutionARN(machineARN(statemachines.Restart), "one") || in["input"].(map[string]any)["session"] == "" {
					t.Errorf("%s got %v", name, in)
				}
				return c.answer(n)
			}
			e := w.start(statemachines.Restart, "one", string(statemachines.Inputs(statemachines.Restart)["restart.json"]))
			w.clock.Run()
			if got := told(e); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if took := e.StoppedAt().Sub(start); took != c.took {
				t.Errorf("took %s, want %s", took, c.took)
			}
			if e.Events() > cadence.HistoryEventsMax/10 {
				t.Errorf("%d events", e.Events())
			}
		})
	}
}
