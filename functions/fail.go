package functions

import (
	"log/slog"
	"os"

	"nightshift/internal/obs"
)

// Fail ends a function that could not be built. The runtime then reports the
// invocation as failed and tries again with a new process.
func Fail(function string, err error) {
	obs.NewLogger(os.Stdout, slog.LevelError, function).Error("function cannot be built", obs.KeyError, err.Error())
	os.Exit(1)
}
