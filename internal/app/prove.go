package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"nightshift/internal/proof"
)

// Proof verifies the evidence of a time and says what it proves (S8.4), as
// nightshift prove does of an exported file; zero times are no limit. It believes
// the store: who must not reads a file offline.
func (a *App) Proof(ctx context.Context, who Actor, from, to time.Time) (proof.Report, error) {
	const op = "prove"
	if err := who.admin(op); err != nil {
		return proof.Report{}, err
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return proof.Report{}, Field(op, "to", "later than from")
	}
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := ExportProof(ctx, a.Store, out, from, to, a.Now())
		out.CloseWithError(err) //nolint:errcheck // it never fails
		written <- err
	}()
	report, err := proof.Verify(in, proof.Options{From: from, To: to})
	in.CloseWithError(err) //nolint:errcheck // it never fails
	if failed := <-written; failed != nil {
		err = failed
	}
	if err != nil {
		return proof.Report{}, fmt.Errorf("prove: %w", err)
	}
	return report, nil
}
