package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/workflow"
)

const (
	watchARN = "arn:aws:states:us-east-1:123456789012:stateMachine:watch"
	drainARN = "arn:aws:states:us-east-1:123456789012:stateMachine:drain"
	endpoint = "sagemaker/123456789012/us-east-1"
)

// stepFunctions speaks the service's protocol, AWS JSON 1.0: it notes one call
// and gives one answer.
type stepFunctions struct {
	status int
	answer string
	target string
	body   map[string]string
}

func (s *stepFunctions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.target = r.Header.Get("X-Amz-Target")
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &s.body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	_, _ = io.WriteString(w, s.answer)
}

func client(t *testing.T, s *stepFunctions) *sfn.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return sfn.New(sfn.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
}

func TestStart(t *testing.T) {
	for _, c := range []struct {
		kind, machine string
		start         func(*workflow.Workflow) error
	}{
		{"watch", watchARN, func(w *workflow.Workflow) error { return w.Watch(t.Context(), endpoint, 7) }},
		{"drain", drainARN, func(w *workflow.Workflow) error { return w.Drain(t.Context(), endpoint, 7) }},
	} {
		t.Run(c.kind, func(t *testing.T) {
			s := &stepFunctions{answer: `{"executionArn":"arn:aws:states:us-east-1:123456789012:execution:m:n","startDate":1}`}
			if err := c.start(workflow.New(client(t, s), watchARN, drainARN)); err != nil {
				t.Fatal(err)
			}
			if s.target != "AWSStepFunctions.StartExecution" || s.body["stateMachineArn"] != c.machine {
				t.Errorf("%s of %s", s.target, s.body["stateMachineArn"])
			}
			name := s.body["name"]
			if !regexp.MustCompile(`^` + c.kind + `-[0-9a-f]{16}-7$`).MatchString(name) {
				t.Errorf("name %q", name)
			}
			var in map[string]any
			if err := json.Unmarshal([]byte(s.body["input"]), &in); err != nil {
				t.Fatal(err)
			}
			// The machine makes its successor's name of input.name and the next
			// generation, so the two must begin alike.
			want := map[string]any{"endpoint": endpoint, "generation": 7.0, "name": strings.TrimSuffix(name, "-7")}
			if !reflect.DeepEqual(in, want) {
				t.Errorf("input %v, want %v", in, want)
			}
		})
	}
}

// Names stay within 80 characters and differ by endpoint.
func TestNameOf(t *testing.T) {
	long := workflow.NameOf("watch", strings.Repeat("x", 500)) + "-9223372036854775807"
	if len(long) > 80 {
		t.Errorf("%d characters", len(long))
	}
	if workflow.NameOf("watch", "livy/a") == workflow.NameOf("watch", "livy/b") {
		t.Error("two endpoints share a name")
	}
}

func failure(code string) (int, string) {
	return http.StatusBadRequest, `{"__type":"` + code + `","message":"no"}`
}

func TestStartErrors(t *testing.T) {
	for _, c := range []struct {
		code string
		want fault.Kind
	}{
		{"ThrottlingException", fault.Throttled},
		{"ExecutionLimitExceeded", fault.Throttled},
		{"AccessDeniedException", fault.Denied},
		{"StateMachineDoesNotExist", fault.Unknown},
		{"InvalidArn", fault.Unknown},
		{"InvalidExecutionInput", fault.Invalid},
		{"SomethingNew", fault.Unknown},
	} {
		t.Run(c.code, func(t *testing.T) {
			s := &stepFunctions{}
			s.status, s.answer = failure(c.code)
			err := workflow.New(client(t, s), watchARN, drainARN).Watch(t.Context(), endpoint, 1)
			if err == nil || fault.KindOf(err) != c.want {
				t.Errorf("%v is of kind %s, want %s", err, fault.KindOf(err), c.want)
			}
		})
	}
	t.Run("a name already taken is success", func(t *testing.T) {
		s := &stepFunctions{}
		s.status, s.answer = failure("ExecutionAlreadyExists")
		if err := workflow.New(client(t, s), watchARN, drainARN).Drain(t.Context(), endpoint, 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("no machine configured", func(t *testing.T) {
		err := workflow.New(nil, "", "").Watch(t.Context(), endpoint, 1)
		if err == nil || fault.Is(err, fault.Invalid) {
			t.Errorf("%v: it must be an error that is retried", err)
		}
	})
	t.Run("cut short", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := workflow.New(client(t, &stepFunctions{}), watchARN, drainARN).Watch(ctx, endpoint, 1)
		if !errors.Is(err, context.Canceled) && !fault.Interrupted(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestRelease(t *testing.T) {
	told := func(s string) workflow.Told {
		var out workflow.Told
		if err := json.Unmarshal([]byte(s), &out); err != nil {
			t.Fatalf("%v: %.80s", err, s)
		}
		return out
	}
	t.Run("finished", func(t *testing.T) {
		s := &stepFunctions{answer: `{}`}
		o := app.Outcome{SessionID: "s-1", Cause: session.CauseFinished, Text: "The run finished.", Succeeded: true}
		if err := workflow.New(client(t, s), "", "").Release(t.Context(), "token", o); err != nil {
			t.Fatal(err)
		}
		if s.target != "AWSStepFunctions.SendTaskSuccess" || s.body["taskToken"] != "token" ||
			s.body["output"] != `{"sessionId":"s-1","cause":"finished","text":"The run finished.","succeeded":true}` {
			t.Errorf("%s %v", s.target, s.body)
		}
	})
	t.Run("ended", func(t *testing.T) {
		s := &stepFunctions{answer: `{}`}
		o := app.Outcome{SessionID: "s-1", Cause: session.CauseSignOut, Text: "The user signed out."}
		if err := workflow.New(client(t, s), "", "").Release(t.Context(), "token", o); err != nil {
			t.Fatal(err)
		}
		if s.target != "AWSStepFunctions.SendTaskFailure" || s.body["error"] != "SessionEnded" {
			t.Errorf("%s %v", s.target, s.body)
		}
		if got, want := told(s.body["cause"]), (workflow.Told{SessionID: "s-1", Cause: "sign-out", Text: "The user signed out."}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	for name, text := range map[string]string{
		"long": strings.Repeat("word ", 20_000), "long, of three bytes": strings.Repeat("…", 40_000), "long, escaped": strings.Repeat("\x01", 40_000),
	} {
		t.Run(name, func(t *testing.T) {
			s := &stepFunctions{answer: `{}`}
			if err := workflow.New(client(t, s), "", "").Release(t.Context(), "token", app.Outcome{SessionID: "s-1", Text: text}); err != nil {
				t.Fatal(err)
			}
			cause := s.body["cause"]
			if len(cause) > 32_768 || len(cause) < 32_000 {
				t.Errorf("cause of %d bytes", len(cause))
			}
			if got := told(cause); !strings.HasPrefix(text, got.Text) || got.SessionID != "s-1" {
				t.Error("the text is not the beginning of the whole")
			}
		})
	}
	for _, code := range []string{"TaskDoesNotExist", "TaskTimedOut", "InvalidToken"} {
		t.Run(code, func(t *testing.T) {
			for _, succeeded := range []bool{true, false} {
				s := &stepFunctions{}
				s.status, s.answer = failure(code)
				if err := workflow.New(client(t, s), "", "").Release(t.Context(), "token", app.Outcome{Succeeded: succeeded}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("throttled", func(t *testing.T) {
		s := &stepFunctions{}
		s.status, s.answer = failure("ThrottlingException")
		if err := workflow.New(client(t, s), "", "").Release(t.Context(), "token", app.Outcome{}); !fault.Is(err, fault.Throttled) {
			t.Error(err)
		}
	})
}
