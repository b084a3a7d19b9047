package edge

import (
	"context"
	"sync"
)

// Parallel runs the tasks on goroutines, at most limit at once, and returns when
// all have returned. Each task is run even when the context has ended: it then
// fails at its first call and says so itself, while one left out would count as
// done. It is an app.Parallel.
func Parallel(ctx context.Context, limit int, tasks []func(context.Context)) {
	var wg sync.WaitGroup
	free := make(chan struct{}, max(1, limit))
	for _, task := range tasks {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			task(ctx)
		})
	}
	wg.Wait()
}
