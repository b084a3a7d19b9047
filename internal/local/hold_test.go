package local_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/local"
	"nightshift/internal/memstore"
)

// beats is the real time of a test: a pause lets it pass, and first lets another
// system do what it does meanwhile.
type beats struct {
	now       time.Time
	meanwhile func()
	left      int // pauses until the context ends
}

func (b *beats) pause(context.Context, time.Duration) error {
	if b.left--; b.left < 0 {
		return context.Canceled
	}
	b.now = b.now.Add(time.Second)
	if b.meanwhile != nil {
		b.meanwhile()
	}
	return nil
}

func (b *beats) time() time.Time { return b.now }

// deaf are records that sometimes do not answer, although they do as told.
type deaf struct {
	app.Store
	deaf bool
}

func (d *deaf) SetMark(ctx context.Context, name string, at time.Time) error {
	err := d.Store.SetMark(ctx, name, at)
	if d.deaf {
		err = errDark
	}
	return err
}

// Two systems on one table would end each other's sessions as lost: their engines
// do not know the other's runs.
func TestOneSystemOnTheRecords(t *testing.T) {
	ctx := t.Context()
	records := &deaf{Store: memstore.New()}
	first := &beats{now: awsBegan, left: 1000}
	hold, err := local.Take(ctx, records, first.time, first.pause)
	if err != nil || first.left != 1000 {
		t.Fatalf("new records are not taken at once: %v", err)
	}
	first.left = 30
	if err := hold.Keep(ctx); err != nil {
		t.Errorf("the first, alone: %v", err)
	}
	// While the first keeps them, a second one is refused; its clock may be behind.
	second := &beats{now: first.now.Add(-2 * time.Second), left: 1000}
	second.meanwhile = func() {
		first.left = 1
		if err := hold.Keep(ctx); err != nil {
			t.Errorf("the first: %v", err)
		}
	}
	if _, err := local.Take(ctx, records, second.time, second.pause); !errors.Is(err, local.ErrHeld) {
		t.Errorf("the second, while the first keeps them: %v", err)
	}
	// Once the first has stopped, a later one has to look, and then has them.
	later := &beats{now: first.now.Add(time.Second), left: 1000}
	if _, err := local.Take(ctx, records, later.time, later.pause); err != nil || later.left > 998 {
		t.Errorf("after the first has stopped: %v, %d looks", err, 1000-later.left)
	}
	// Who was taken over all the same sees it at its next beat.
	first.left = 5
	if err := hold.Keep(ctx); !errors.Is(err, local.ErrHeld) || first.left != 4 {
		t.Errorf("the first goes on although another has the records: %v", err)
	}
}

// An engine that does not answer for a while is no other system.
func TestAHoldOutlivesSilence(t *testing.T) {
	records := &deaf{Store: memstore.New()}
	b := &beats{now: awsBegan, left: 1000}
	hold, err := local.Take(t.Context(), records, b.time, b.pause)
	if err != nil {
		t.Fatal(err)
	}
	b.left = 20
	b.meanwhile = func() { records.deaf = b.left%5 < 3 }
	if err := hold.Keep(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := local.Take(t.Context(), dark{memstore.New()}, b.time, b.pause); !errors.Is(err, errDark) {
		t.Errorf("records that cannot be read are taken: %v", err)
	}
}
