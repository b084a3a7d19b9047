package runtimehost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"nightshift/internal/edge/runtimehost"
)

// childEnv makes this test's own binary a function.
const childEnv = "RUNTIMEHOST_CHILD"

// patience bounds each wait for a process.
const patience = 30 * time.Second

// Refused is an error whose type is reported.
type Refused struct{}

func (Refused) Error() string { return "no" }

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(childEnv) == "broken" {
		fmt.Fprintln(os.Stderr, "it cannot be built")
		os.Exit(3)
	}
	lambda.Start(func(ctx context.Context, in map[string]string) (any, error) {
		switch in["do"] {
		case "refuse":
			return nil, Refused{}
		case "panic":
			panic("it is broken")
		case "exit":
			fmt.Println("leaving")
			os.Exit(4)
		case "hang":
			<-make(chan int)
		case "grow":
			return strings.Repeat("x", 7<<20), nil
		}
		d, _ := ctx.Deadline()
		return map[string]string{"got": in["do"], "deadline": d.UTC().Format(time.RFC3339), "name": os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "home": os.Getenv("HOME")}, nil
	})
}

func start(t *testing.T, child string) (*runtimehost.Process, context.Context) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := runtimehost.Start(runtimehost.Function{Name: "child", Path: path, Env: map[string]string{childEnv: child}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return p, ctx
}

func TestInvoke(t *testing.T) {
	p, ctx := start(t, "well")
	if err := p.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	deadline, _ := ctx.Deadline()
	for _, say := range []string{"one", "two"} {
		b, err := p.Invoke(ctx, []byte(`{"do":"`+say+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		// Nothing of this process's environment is there.
		if got["got"] != say || got["name"] != "child" || got["home"] != "" || got["deadline"] != deadline.UTC().Format(time.RFC3339) {
			t.Errorf("answers %v, deadline %v", got, deadline)
		}
	}
	var reported *runtimehost.Error
	if _, err := p.Invoke(ctx, []byte(`{"do":"refuse"}`)); !errors.As(err, &reported) || *reported != (runtimehost.Error{Type: "Refused", Message: "no"}) {
		t.Errorf("an error: %v", err)
	}
	if _, err := p.Invoke(ctx, []byte(`{"do":"grow"}`)); !errors.As(err, &reported) || reported.Type != "Function.ResponseSizeTooLarge" {
		t.Errorf("an answer that is too large: %v", err)
	}
	if memory, err := p.PeakMemory(); runtime.GOOS == "linux" && (err != nil || memory < 1<<20 || memory > 1<<30) {
		t.Errorf("memory %d, %v", memory, err)
	}
	if state, err := p.Terminate(ctx); err != nil || state != "signal: terminated" {
		t.Errorf("told to end: %q, %v", state, err)
	}
	var exited *runtimehost.Exited
	if _, err := p.Invoke(ctx, []byte(`{}`)); !errors.As(err, &exited) {
		t.Errorf("an event after the end: %v", err)
	}
	if state, err := p.Terminate(ctx); err != nil || state != "signal: terminated" {
		t.Errorf("told to end twice: %q, %v", state, err)
	}
}

func TestEnds(t *testing.T) {
	var exited *runtimehost.Exited
	p, ctx := start(t, "broken")
	if err := p.Ready(ctx); !errors.As(err, &exited) || exited.State != "exit status 3" || !strings.Contains(err.Error(), "it cannot be built") {
		t.Errorf("one that cannot start: %v", err)
	}
	p, ctx = start(t, "well")
	if _, err := p.Invoke(ctx, []byte(`{"do":"exit"}`)); !errors.As(err, &exited) || exited.State != "exit status 4" || !strings.Contains(err.Error(), "leaving") {
		t.Errorf("one that ends in the middle: %v", err)
	}
	p, ctx = start(t, "well")
	var reported *runtimehost.Error
	if _, err := p.Invoke(ctx, []byte(`{"do":"panic"}`)); !errors.As(err, &reported) || reported.Message != "it is broken" {
		t.Errorf("one that panics: %v", err)
	}
	p, ctx = start(t, "well")
	if err := p.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Invoke(short, []byte(`{"do":"hang"}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that hangs: %v", err)
	}
	if _, err := runtimehost.Start(runtimehost.Function{Name: "none", Path: "/nowhere/bootstrap"}); err == nil {
		t.Error("a binary that is not there was started")
	}
}
