package edge

import (
	"context"
	"sync"
	"sync/atomic"
)

// Parallel runs the tasks on goroutines, at most limit at once, and returns when
// all have returned. Each task is run even when the context has ended: it then
// fails at its first call and says so itself, while one left out would count as
// done. It is an app.Parallel.
func Parallel(ctx context.Context, limit int, tasks []func(context.Context)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(max(1, limit), len(tasks)) {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(len(tasks)); i = next.Add(1) {
				tasks[i-1](ctx)
			}
		})
	}
	wg.Wait()
}
