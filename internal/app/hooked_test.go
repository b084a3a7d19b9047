package app_test

import (
	"context"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// hooked is a store with something to do, or to refuse, before a call.
type hooked struct {
	app.Store
	beforeOpen       func()
	ofUser           func() error
	putUser          func() error
	commit           func(app.Commit) error
	wake             func()
	putEndpoint      func(app.Endpoint) error
	afterPutEndpoint func(app.Endpoint)
	endpoint         func()
	reclaim          func() error
	claimed          func() error
	ofEndpoint       func(app.Page) // what was listed, to be changed
}

func (h *hooked) OfEndpoint(ctx context.Context, endpoint, cursor string) (app.Page, error) {
	page, err := h.Store.OfEndpoint(ctx, endpoint, cursor)
	if h.ofEndpoint != nil {
		h.ofEndpoint(page)
	}
	return page, err
}

func (h *hooked) Claimed(ctx context.Context, run workload.Ref) (string, error) {
	if h.claimed != nil {
		if err := h.claimed(); err != nil {
			return "", err
		}
	}
	return h.Store.Claimed(ctx, run)
}

func (h *hooked) Open(ctx context.Context, o app.Opening) error {
	if h.beforeOpen != nil {
		h.beforeOpen()
	}
	return h.Store.Open(ctx, o)
}

func (h *hooked) OfUser(ctx context.Context, user, cursor string) (app.Page, error) {
	if h.ofUser != nil {
		if err := h.ofUser(); err != nil {
			return app.Page{}, err
		}
	}
	return h.Store.OfUser(ctx, user, cursor)
}

func (h *hooked) PutUser(ctx context.Context, u session.UserFacts) error {
	if h.putUser != nil {
		if err := h.putUser(); err != nil {
			return err
		}
	}
	return h.Store.PutUser(ctx, u)
}

func (h *hooked) Commit(ctx context.Context, c app.Commit) error {
	if h.commit != nil {
		if err := h.commit(c); err != nil {
			return err
		}
	}
	return h.Store.Commit(ctx, c)
}

func (h *hooked) Reclaim(ctx context.Context, run workload.Ref, from, to string) error {
	if h.reclaim != nil {
		if err := h.reclaim(); err != nil {
			return err
		}
	}
	return h.Store.Reclaim(ctx, run, from, to)
}

func (h *hooked) Wake(ctx context.Context, id string) error {
	err := h.Store.Wake(ctx, id)
	if h.wake != nil {
		h.wake()
	}
	return err
}

func (h *hooked) Endpoint(ctx context.Context, id string) (app.Endpoint, error) {
	if h.endpoint != nil {
		h.endpoint()
	}
	return h.Store.Endpoint(ctx, id)
}

func (h *hooked) PutEndpoint(ctx context.Context, e app.Endpoint) error {
	if h.putEndpoint != nil {
		if err := h.putEndpoint(e); err != nil {
			return err
		}
	}
	err := h.Store.PutEndpoint(ctx, e)
	if h.afterPutEndpoint != nil && err == nil {
		h.afterPutEndpoint(e)
	}
	return err
}
