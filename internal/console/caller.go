package console

import (
	"context"

	"nightshift/internal/app"
)

// Caller is who calls, as whoever authenticated them says.
type Caller struct {
	app.Actor
	Local    bool // a local system: nobody was authenticated
	MayActAs bool // may say to be somebody else; only locally
}

type callerKey struct{}

// WithCaller says in a request's context who calls.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is who calls; false where nobody was authenticated.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok && c.Name != ""
}
