package runtimehost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildFlags are what every deployed function is built with, besides CGO off: no
// paths, no version control and no build id in it, so that the same source is
// the same binary wherever it is built.
var BuildFlags = []string{"-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags=-s -w -buildid="}

// Build builds the mains below a folder of the module at root into the folder
// out, each named by its own folder.
func Build(ctx context.Context, root, below, goos, goarch, out string) error {
	args := append([]string{"build"}, BuildFlags...)
	args = append(args, "-o", out+string(filepath.Separator), "./"+below+"/...")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	// GOFLAGS of whoever runs the test must not change the binary; a workspace neither.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch, "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for %s/%s: %w: %s", below, goos, goarch, err, said)
	}
	return nil
}
