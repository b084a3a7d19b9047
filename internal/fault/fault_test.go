package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("boom")
	throttled := New("livy: list sessions", Throttled, cause)
	invalid := Newf("inbound: read", Invalid, "field %q", "x")
	for _, c := range []struct {
		name string
		err  error
		want Kind
	}{
		{"nothing", nil, Unknown},
		{"an error nobody classified", cause, Unknown},
		{"a classified error", throttled, Throttled},
		{"a classified error, wrapped", fmt.Errorf("drain: %w", throttled), Throttled},
		{"classified twice: the outermost counts", New("drain", Conflict, throttled), Conflict},
		{"joined, both poison", errors.Join(invalid, invalid), Invalid},
		{"joined, one poison hides no retryable one", errors.Join(invalid, throttled), Throttled},
		{"joined the other way round", errors.Join(throttled, invalid), Throttled},
		{"joined, one unclassified is retried", errors.Join(invalid, cause), Unknown},
		{"joined, one unclassified is retried, the other way round", errors.Join(cause, invalid), Unknown},
		{"joined and wrapped: one poison hides no retryable one", fmt.Errorf("fan-out: %w", errors.Join(invalid, throttled)), Throttled},
		{"joined within joined", errors.Join(invalid, errors.Join(invalid, throttled)), Throttled},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	err := New("store: commit", Conflict, nil)
	if !Is(err, Conflict) || Is(err, Invalid) || Is(nil, Unknown) || !Is(errors.New("x"), Unknown) {
		t.Error("Is does not say whether an error is of a kind")
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	cause := errors.New("boom")
	seen := map[string]bool{}
	for _, k := range []Kind{Unknown, Invalid, NotFound, Conflict, Throttled, Denied} {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d is called %q", k, k.String())
		}
		seen[k.String()] = true
		bare, with := New("store: commit", k, nil), New("store: commit", k, cause)
		if !strings.Contains(bare.Error(), "store: commit") || !strings.Contains(bare.Error(), k.String()) {
			t.Errorf("%q says not what was attempted and how it failed", bare)
		}
		if !strings.Contains(with.Error(), "store: commit") || !strings.Contains(with.Error(), "boom") || !errors.Is(with, cause) {
			t.Errorf("%q does not carry its cause", with)
		}
		if errors.Unwrap(bare) != nil {
			t.Errorf("%q has a cause", bare)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d kinds", len(seen))
	}
	if err := Newf("x", Denied, "wrapped: %w", cause); !errors.Is(err, cause) || KindOf(err) != Denied {
		t.Errorf("%v", err)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		context.Canceled: true, context.DeadlineExceeded: true, New("livy", Unknown, context.Canceled): true,
		errors.New("x"): false, New("livy", Throttled, nil): false,
	} {
		if Interrupted(err) != want {
			t.Errorf("%v is an interruption: %t", err, !want)
		}
	}
	if Interrupted(nil) {
		t.Error("success is an interruption")
	}
}
