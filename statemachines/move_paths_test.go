package statemachines_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/asl"
	"nightshift/internal/cadence"
	"nightshift/statemachines"
)

// mover plays move-notebook's function and the two services: steps answer well
// unless a case says otherwise.
type mover struct {
	*service
	calls map[string]int // of steps and services
	asked []map[string]any
	// answers replace the usual answer; n counts the calls of that step or service
	// from 1. nil: the usual one.
	answers map[string]func(n int, in map[string]any) (any, error)
}

func newMover(t *testing.T) *mover {
	m := &mover{service: newService(t), calls: map[string]int{}, answers: map[string]func(int, map[string]any) (any, error){}}
	usual := map[string]any{
		"begin": map[string]any{"notebook": "n-1", "from": "j-1", "to": "j-2", "back": false}, "design": map[string]any{"request": map[string]any{"Name": "x"}, "made": "nightshift-n-1-x"}, "discard": map[string]any{"cluster": "j-9", "unused": true},
		"listBootstrapActions": map[string]any{"BootstrapActions": []any{}},
		"listClusters":         map[string]any{"Clusters": []any{map[string]any{"Id": "j-8", "Name": "another's"}, map[string]any{"Id": "j-9", "Name": "nightshift-n-1-x"}}},
		"judge":                map[string]any{"state": "ready", "reason": ""}, "stop": map[string]any{"over": true, "ended": false},
		"start": map[string]any{"execution": "e", "session": "s-2", "cluster": "j-2"}, "look": map[string]any{"state": "running", "why": ""}, "end": map[string]any{"text": "told."},
		"describeCluster": map[string]any{"Cluster": map[string]any{"Id": "j", "Ec2InstanceAttributes": map[string]any{"Ec2SubnetId": "subnet-1"}}},
		"describeSubnets": map[string]any{"Subnets": []any{map[string]any{"SubnetId": "subnet-1", "VpcId": "vpc-1"}}}, "runJobFlow": map[string]any{"JobFlowId": "j-9"}, "terminateJobFlows": map[string]any{},
	}
	answer := func(name string, in map[string]any) (any, error) {
		m.calls[name]++
		m.asked = append(m.asked, in)
		if f := m.answers[name]; f != nil {
			if out, err := f(m.calls[name], in); out != nil || err != nil {
				return out, err
			}
		}
		return usual[name], nil
	}
	m.function = func(_ *world, name string, in map[string]any) (any, error) {
		if name != "move-notebook" || in["execution"] != asl.ExecutionARN(machineARN(statemachines.MoveNotebook), "one") {
			t.Errorf("%s got %v", name, in)
		}
		return answer(in["step"].(string), in)
	}
	m.call = func(resource string, arguments map[string]any, _ int) (any, error) {
		return answer(short(resource), arguments)
	}
	return m
}

type answers map[string]func(n int, in map[string]any) (any, error)

func always(out any) func(int, map[string]any) (any, error) {
	return func(int, map[string]any) (any, error) { return out, nil }
}

func fails(name, sentence string) func(int, map[string]any) (any, error) {
	return func(int, map[string]any) (any, error) { return nil, failure(name, sentence) }
}

// then answers in turn, the last one for ever; nil is the usual answer.
func then(all ...any) func(int, map[string]any) (any, error) {
	return func(n int, _ map[string]any) (any, error) { return all[min(n, len(all))-1], nil }
}

var rounds = regexp.MustCompile(`(( Grace Stop Stopped){2,}|( Settle Started Follow){2,}|( Starting Look Subnets Judge Ready){2,})`)

// squeezed shows rounds once, with an ellipsis.
func squeezed(path string) string {
	return rounds.ReplaceAllStringFunc(path, func(all string) string {
		for _, one := range []string{" Grace Stop Stopped", " Settle Started Follow", " Starting Look Subnets Judge Ready"} {
			if strings.HasPrefix(all, one) {
				return one + "…"
			}
		}
		return all
	})
}

// S5.1: every branch of move-notebook, by its path.
func TestMoveNotebookPaths(t *testing.T) {
	const (
		to      = `{"session":"s-1","to":{"cluster":"j-2"}}`
		fresh   = `{"session":"s-1","to":{"newCluster":{"instanceType":"m5.xlarge"}}}`
		resume  = `{"resume":"n-1"}`
		looked  = "Begin Resumed LookFrom Target Look Subnets Judge Ready "
		made    = "Begin Resumed LookFrom Target Actions Design Create Look Subnets Judge Ready "
		stopped = looked + "Stop Stopped "
		refused = " End Outcome Refused MoveRefused "
	)
	begunNew := answers{"begin": always(map[string]any{"notebook": "n-1", "from": "j-1", "to": "", "back": false})}
	failed := map[string]any{"state": "failed", "why": "no kernel."}
	starting := map[string]any{"state": "starting", "why": ""}
	stopping := map[string]any{"over": false, "ended": false}
	down := fails("Unavailable", "down")
	nobodys := answers{"discard": always(map[string]any{"cluster": "", "unused": false})}
	paged := answers{"listClusters": func(_ int, in map[string]any) (any, error) {
		if in["Marker"] == "2" {
			return nil, nil
		}
		return map[string]any{"Clusters": []any{map[string]any{"Id": "j-8", "Name": "another's"}}, "Marker": "2"}, nil
	}, "discard": func(_ int, in map[string]any) (any, error) {
		if len(in["listed"].([]any)) == 1 {
			return map[string]any{"cluster": "", "unused": false}, nil
		}
		return nil, nil
	}}
	both := func(all ...answers) answers {
		joined := answers{}
		for _, a := range all {
			for k, v := range a {
				joined[k] = v
			}
		}
		return joined
	}
	backAt := func(out any) func(int, map[string]any) (any, error) {
		return func(_ int, in map[string]any) (any, error) {
			if in["back"] == true {
				return out, nil
			}
			return nil, nil
		}
	}
	for _, c := range []struct {
		name, input string
		answers     answers
		want        string
		outcome     string // what end was told; "": it was not asked
	}{
		{"it moves", to, nil, `SUCCEEDED ` + stopped + `Start Started Follow Arrived End Outcome Moved {"cluster":"j-2","session":"s-2","text":"told."}`, "moved"},
		{"it takes a while to stop and to start", to, answers{"stop": then(stopping, stopping, stopping, nil), "look": then(starting, starting, starting, nil)},
			`SUCCEEDED ` + stopped + `Grace Stop Stopped… Start Started Follow Settle Started Follow… Arrived End Outcome Moved {"cluster":"j-2","session":"s-2","text":"told."}`, "moved"},
		{"it moves to a new cluster", fresh, both(begunNew, answers{"judge": then(map[string]any{"state": "starting", "reason": "it starts"}, nil)}),
			`SUCCEEDED ` + made + `Starting Look Subnets Judge Ready Stop Stopped Start Started Follow Arrived End Outcome Moved {"cluster":"j-2","session":"s-2","text":"told."}`, "moved"},

		{"the input is wrong", to, answers{"begin": fails("InvalidInput", "no session")}, `FAILED Begin Rejected InvalidInput {"errorMessage":"no session","errorType":"InvalidInput"}`, ""},
		{"nobody can claim it", to, answers{"begin": down}, `FAILED Begin Rejected Unavailable {"errorMessage":"down","errorType":"Unavailable"}`, ""},
		{"where it runs cannot be looked at", to, answers{"describeCluster": fails("Emr.InvalidRequestException", "no")}, `FAILED Begin Resumed LookFrom` + refused + `{"errorMessage":"no","errorType":"Emr.InvalidRequestException"}`, "stayed"},
		{"there is nothing to make it like", fresh, both(begunNew, answers{"design": fails("InvalidInput", "no subnet")}), `FAILED Begin Resumed LookFrom Target Actions Design` + refused + `{"errorMessage":"no subnet","errorType":"InvalidInput"}`, "stayed"},
		{"no cluster is made", fresh, both(begunNew, nobodys, answers{"runJobFlow": fails("Emr.InvalidRequestException", "role")}), `FAILED Begin Resumed LookFrom Target Actions Design Create Discard Find Unused Spare` + refused + `{"errorMessage":"role","errorType":"Emr.InvalidRequestException"}`, "stayed"},
		{"the target cannot be looked at", to, answers{"describeCluster": func(n int, _ map[string]any) (any, error) {
			if n > 1 {
				return nil, failure("Emr.InvalidRequestException", "gone")
			}
			return nil, nil
		}}, `FAILED Begin Resumed LookFrom Target Look Discard` + refused + `{"errorMessage":"gone","errorType":"Emr.InvalidRequestException"}`, "stayed"},
		{"the networks cannot be looked at", to, answers{"describeSubnets": fails("Ec2.UnauthorizedOperation", "no")}, `FAILED Begin Resumed LookFrom Target Look Subnets Discard` + refused + `{"errorMessage":"no","errorType":"Ec2.UnauthorizedOperation"}`, "stayed"},
		{"the target cannot be judged", to, answers{"judge": fails("InvalidInput", "unread")}, `FAILED Begin Resumed LookFrom Target Look Subnets Judge Discard` + refused + `{"errorMessage":"unread","errorType":"InvalidInput"}`, "stayed"},
		{"the target is no good", to, answers{"judge": always(map[string]any{"state": "never", "reason": "another VPC"})}, `FAILED ` + looked + `Discard` + refused + `another VPC`, "stayed"},
		{"the new cluster never starts, and is ended", fresh, both(begunNew, answers{"judge": always(map[string]any{"state": "starting", "reason": "it starts"})}),
			`FAILED ` + made + `Starting Look Subnets Judge Ready… Discard Unused Spare Terminate` + refused + `it starts`, "stayed"},
		{"and cannot be ended", fresh, both(begunNew, answers{"judge": always(map[string]any{"state": "never", "reason": "it failed"}), "terminateJobFlows": fails("Emr.InternalServerException", "down")}),
			`FAILED ` + made + `Discard Unused Spare Terminate` + refused + `it failed`, "stayed"},
		{"what bootstrap actions it has cannot be read", fresh, both(begunNew, answers{"listBootstrapActions": fails("Emr.InvalidRequestException", "no")}), `FAILED Begin Resumed LookFrom Target Actions` + refused + `{"errorMessage":"no","errorType":"Emr.InvalidRequestException"}`, "stayed"},
		{"the answer of its creation is lost", fresh, both(begunNew, paged, answers{"runJobFlow": fails("States.Timeout", "late")}), `FAILED Begin Resumed LookFrom Target Actions Design Create Discard Find Unused Spare Find Unused Spare Terminate` + refused + `{"errorMessage":"late","errorType":"States.Timeout"}`, "stayed"},
		{"and clusters cannot be listed", fresh, both(begunNew, answers{"runJobFlow": fails("States.Timeout", "late"), "listClusters": fails("Emr.InternalServerException", "down")}), `FAILED Begin Resumed LookFrom Target Actions Design Create Discard Find` + refused + `{"errorMessage":"late","errorType":"States.Timeout"}`, "stayed"},
		{"the new cluster is used by another", fresh, both(begunNew, answers{"judge": always(map[string]any{"state": "never", "reason": "it failed"}), "discard": always(map[string]any{"cluster": "j-9", "unused": false})}),
			`FAILED ` + made + `Discard Unused Spare` + refused + `it failed`, "stayed"},
		{"whether it is used cannot be told", fresh, both(begunNew, answers{"judge": always(map[string]any{"state": "never", "reason": "it failed"}), "discard": down}),
			`FAILED ` + made + `Discard Unused` + refused + `it failed`, "stayed"},
		{"there is no room", to, answers{"stop": fails("InvalidInput", "taken")}, `FAILED ` + looked + `Stop Untouched Discard` + refused + `{"errorMessage":"taken","errorType":"InvalidInput"}`, "stayed"},

		{"it refuses once the stop was asked for", to, answers{"stop": func(n int, _ map[string]any) (any, error) {
			if n > 1 {
				return nil, failure("InvalidInput", "forgotten")
			}
			return stopping, nil
		}}, `FAILED ` + looked + `Stop Stopped Grace Stop Untouched Broken InvalidInput {"errorMessage":"forgotten","errorType":"InvalidInput"}`, ""},
		{"it refuses in a move that was taken up", resume, answers{"stop": fails("InvalidInput", "forgotten")}, `FAILED Begin Resumed Stop Untouched Broken InvalidInput {"errorMessage":"forgotten","errorType":"InvalidInput"}`, ""},
		{"whether it is stopped is not known", to, answers{"stop": down}, `FAILED ` + looked + `Stop Broken Unavailable {"errorMessage":"down","errorType":"Unavailable"}`, ""},
		{"it ended by itself", to, answers{"stop": always(map[string]any{"over": true, "ended": true})}, `FAILED ` + stopped + `EndedMeanwhile Discard End Outcome Failed NotebookEnded told. `, "ended"},
		{"it resists", to, answers{"stop": always(stopping)}, `FAILED ` + looked + `Stop Stopped Grace Stop Stopped… StillEnding StillEnding The notebook's run is still being stopped.`, ""},
		{"whether it was started is not known", to, answers{"start": down}, `FAILED ` + stopped + `Start Broken Unavailable {"errorMessage":"down","errorType":"Unavailable"}`, ""},
		{"how it is cannot be told", to, answers{"look": down}, `FAILED ` + stopped + `Start Started Broken Unavailable {"errorMessage":"down","errorType":"Unavailable"}`, ""},
		{"it cannot be let go of", to, answers{"end": down}, `FAILED ` + stopped + `Start Started Follow Arrived End Broken Unavailable {"errorMessage":"down","errorType":"Unavailable"}`, "moved"},

		{"it fails there and goes back", to, answers{"look": then(failed, nil)},
			`FAILED ` + stopped + `Start Started Follow Turn TurnBack Stop Stopped Start Started Follow WentBack Discard End Outcome Failed MovedBack told. no kernel.`, "back"},
		{"its request is refused there and it goes back", to, answers{"start": func(n int, _ map[string]any) (any, error) {
			if n == 1 {
				return nil, failure("InvalidInput", "too large")
			}
			return nil, nil
		}}, `FAILED ` + stopped + `Start Turn TurnBack Stop Stopped Start Started Follow WentBack Discard End Outcome Failed MovedBack told. {"errorMessage":"too large","errorType":"InvalidInput"}`, "back"},
		{"it never starts there and goes back", to, answers{"look": func(n int, _ map[string]any) (any, error) {
			if n <= statemachines.GraceRounds {
				return starting, nil
			}
			return nil, nil
		}}, `FAILED ` + stopped + `Start Started Follow Settle Started Follow… Turn TurnBack Stop Stopped Start Started Follow WentBack Discard End Outcome Failed MovedBack told. Its start there took too long.`, "back"},
		{"the new cluster is ended where it goes back", fresh, both(begunNew, answers{"look": then(failed, nil)}),
			`FAILED ` + made + `Stop Stopped Start Started Follow Turn TurnBack Stop Stopped Start Started Follow WentBack Discard Unused Spare Terminate End Outcome Failed MovedBack told. no kernel.`, "back"},
		{"its user leaves while it goes back", to, answers{"look": always(failed), "stop": backAt(map[string]any{"over": true, "ended": true})},
			`FAILED ` + stopped + `Start Started Follow Turn TurnBack Stop Stopped EndedMeanwhile Discard End Outcome Failed NotebookEnded told. no kernel.`, "ended"},
		{"it starts nowhere", to, answers{"look": always(failed)},
			`FAILED ` + stopped + `Start Started Follow Turn TurnBack Stop Stopped Start Started Follow Turn Nowhere Discard End Outcome Failed NotebookStopped told. no kernel.`, "stopped"},

		{"a move that died before it stopped anything", resume, begunNew, `FAILED Begin Resumed Abandoned Discard End Outcome Refused MoveRefused The execution that moved it died before anything was stopped.`, "stayed"},
		{"one that had made a cluster ends that", resume, answers{"begin": always(map[string]any{"notebook": "n-1", "from": "j-1", "to": "", "back": false, "made": "nightshift-n-1-x"})},
			`FAILED Begin Resumed Abandoned Discard Find Unused Spare Terminate End Outcome Refused MoveRefused The execution that moved it died before anything was stopped.`, "stayed"},
		{"one that goes back ends the cluster that it had made", resume, answers{"begin": always(map[string]any{"notebook": "n-1", "from": "j-1", "to": "j-9", "back": true, "made": "nightshift-n-1-x"})},
			`FAILED Begin Resumed Stop Stopped Start Started Follow WentBack Discard Find Unused Spare Terminate End Outcome Failed MovedBack told. `, "back"},
		{"one that arrives on the cluster that it had made keeps it", resume, answers{"begin": always(map[string]any{"notebook": "n-1", "from": "j-1", "to": "j-9", "back": false, "made": "nightshift-n-1-x"})},
			`SUCCEEDED Begin Resumed Stop Stopped Start Started Follow Arrived End Outcome Moved {"cluster":"j-2","session":"s-2","text":"told."}`, "moved"},
		{"a move that died later goes on", resume, nil, `SUCCEEDED Begin Resumed Stop Stopped Start Started Follow Arrived End Outcome Moved {"cluster":"j-2","session":"s-2","text":"told."}`, "moved"},
		{"a move that died on its way back goes on back", resume, answers{"begin": always(map[string]any{"notebook": "n-1", "from": "j-1", "to": "j-2", "back": true})},
			`FAILED Begin Resumed Stop Stopped Start Started Follow WentBack Discard End Outcome Failed MovedBack told. `, "back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMover(t)
			m.answers = c.answers
			e := m.start(statemachines.MoveNotebook, "one", c.input)
			m.clock.Run()
			if got := squeezed(told(e)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			outcome := ""
			for _, in := range m.asked {
				if in["step"] == "end" {
					outcome, _ = in["outcome"].(string)
				}
			}
			if outcome != c.outcome {
				t.Errorf("end was told %q, want %q", outcome, c.outcome)
			}
			for _, in := range m.asked {
				if ids, ended := in["JobFlowIds"].([]any); ended && !slices.Equal(ids, []any{"j-9"}) {
					t.Errorf("S5.1 ended are %v", ids)
				}
			}
			if m.calls["terminateJobFlows"] > 1 && c.name != "and cannot be ended" {
				t.Errorf("ended %d times", m.calls["terminateJobFlows"])
			}
			if m.calls["runJobFlow"] > 1 {
				t.Errorf("%d clusters were asked for", m.calls["runJobFlow"])
			}
			// What the strict path means: nothing is started before a stop that is over.
			if starts := slices.Index(e.Path(), "Start"); starts >= 0 && !slices.Contains(e.Path()[:starts], "Stopped") {
				t.Error("S5.1 started before it was stopped")
			}
			if e.Events() > cadence.HistoryEventsMax/5 {
				t.Errorf("%d events", e.Events())
			}
		})
	}
}
