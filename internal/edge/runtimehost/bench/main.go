// Bench measures every function as it is deployed: how long its binary takes
// from exec to its first poll and to its first answer, how long a warm answer
// takes, how large its zip is and how much memory it holds. AWS is a stand-in
// on the loopback interface, so that no network is in the figures. It ends with
// 1 and names the offender where a limit is broken.
package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"nightshift/internal/config"
	"nightshift/internal/edge/runtimehost"
	"nightshift/internal/edge/runtimehost/occasion"
)

// The limits. Beyond the first answer's a sign-out waits noticeably for a new
// environment; beyond the others a function would need a reason.
const (
	firstMax = 60 * time.Millisecond
	rssMax   = 64_000_000 // bytes: a quarter of what functions are given; clients of four engines and of members' accounts take their part
	zipMax   = 6_000_000  // bytes
)

const (
	starts   = 7   // of each function; the median counts, as a shared machine has hiccups
	warm     = 100 // answers of the last start; the median counts
	patience = 30 * time.Second
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // a cold build takes some
	defer cancel()
	if err := bench(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench prints a line for each function; its error names every limit broken.
func bench(ctx context.Context, out io.Writer) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nightshift-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	native, lambda := filepath.Join(dir, "native"), filepath.Join(dir, "lambda")
	if err := errors.Join(
		runtimehost.Build(ctx, root, "functions", runtime.GOOS, runtime.GOARCH, native),
		runtimehost.Build(ctx, root, "functions", "linux", "arm64", lambda),
	); err != nil {
		return err
	}
	fmt.Fprintf(out, "machine cpu=%q cores=%d os=%s arch=%s go=%s\n", cpu(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	opened, err := open(ctx, native)
	if err != nil {
		return err
	}
	var broken []error
	for _, name := range config.Functions() {
		f, err := measure(ctx, filepath.Join(native, name), name, opened)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if f.zip, err = zipped(filepath.Join(lambda, name)); err != nil {
			return err
		}
		fmt.Fprintln(out, f)
		broken = append(broken, f.check())
	}
	return errors.Join(broken...)
}

// figures are what was measured of a function.
type figures struct {
	name              string
	init, first, warm time.Duration
	zip, rss          int64 // rss is 0 where the system does not tell
}

func (f figures) String() string {
	rss := "unknown"
	if f.rss > 0 {
		rss = fmt.Sprintf("%.1f", float64(f.rss)/1e6)
	}
	return fmt.Sprintf("cold function=%s init_ms=%.1f first_ms=%.1f warm_us=%d zip_mb=%.2f rss_mb=%s",
		f.name, f.init.Seconds()*1e3, f.first.Seconds()*1e3, f.warm.Microseconds(), float64(f.zip)/1e6, rss)
}

func (f figures) check() error {
	var broken []error
	if f.first > firstMax {
		broken = append(broken, fmt.Errorf("%s gives its first answer %v after exec; at most %v are allowed", f.name, f.first, firstMax))
	}
	if f.rss > rssMax {
		broken = append(broken, fmt.Errorf("%s holds %d bytes of memory; at most %d are allowed", f.name, f.rss, rssMax))
	}
	if f.zip > zipMax {
		broken = append(broken, fmt.Errorf("%s has a zip of %d bytes; at most %d are allowed", f.name, f.zip, zipMax))
	}
	return errors.Join(broken...)
}

// measure starts the function several times and answers the medians.
func measure(ctx context.Context, path, name string, opened []json.RawMessage) (figures, error) {
	var inits, firsts, warms []time.Duration
	f := figures{name: name}
	for n := range starts {
		items := occasion.Items(name, opened)
		if name == "on-schedule" {
			// Most minutes have nothing to replay; a replay waits for CloudTrail's
			// two calls a second, not for us.
			items = append(items, occasion.Replayed(time.Now()))
		}
		answers := 0
		if n == starts-1 {
			answers = warm
		}
		one, warmed, err := run(ctx, path, name, items, answers)
		if err != nil {
			return f, err
		}
		inits, firsts, warms = append(inits, one.init), append(firsts, one.first), append(warms, warmed...)
		f.rss = max(f.rss, one.rss)
	}
	f.init, f.first, f.warm = median(inits), median(firsts), median(warms)
	return f, nil
}

// run is one life of a function: its start, its first answer, and then as many
// warm ones as are wanted.
func run(ctx context.Context, path, name string, items []json.RawMessage, answers int) (f figures, warms []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	aws, err := runtimehost.ServeAWS(occasion.Script(), occasion.Table, items)
	if err != nil {
		return f, nil, err
	}
	defer aws.Close()
	event, err := occasion.Event(name, items)
	if err != nil {
		return f, nil, err
	}
	env := occasion.Environment(name)
	maps.Copy(env, aws.Env())
	began := time.Now()
	p, err := runtimehost.Start(runtimehost.Function{Name: name, Path: path, Env: env})
	if err != nil {
		return f, nil, err
	}
	defer p.Kill()
	if err := p.Ready(ctx); err != nil {
		return f, nil, err
	}
	f.init = time.Since(began)
	if _, err := p.Invoke(ctx, event); err != nil {
		return f, nil, err
	}
	f.first = time.Since(began)
	for range answers {
		asked := time.Now()
		if _, err := p.Invoke(ctx, event); err != nil {
			return f, nil, err
		}
		warms = append(warms, time.Since(asked))
	}
	if f.rss, err = p.PeakMemory(); err != nil && runtime.GOOS == "linux" {
		return f, nil, err
	}
	return f, warms, nil
}

// open is what open-session puts into an empty table.
func open(ctx context.Context, dir string) ([]json.RawMessage, error) {
	const name = "open-session"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	aws, err := runtimehost.ServeAWS(occasion.Script(), occasion.Table, nil)
	if err != nil {
		return nil, err
	}
	defer aws.Close()
	event, err := occasion.Event(name, nil)
	if err != nil {
		return nil, err
	}
	env := occasion.Environment(name)
	maps.Copy(env, aws.Env())
	p, err := runtimehost.Start(runtimehost.Function{Name: name, Path: filepath.Join(dir, name), Env: env})
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	if _, err := p.Invoke(ctx, event); err != nil {
		return nil, err
	}
	return aws.Items(), nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// zipped is how many bytes the function's zip has.
func zipped(path string) (int64, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var size counter
	z := zip.NewWriter(&size)
	w, err := z.Create("bootstrap")
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(binary); err != nil {
		return 0, err
	}
	err = z.Close()
	return int64(size), err
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// moduleRoot is the folder above this one that has the go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("bench is run inside the repository: there is no go.mod here or above")
		}
	}
}

// cpu is the processor's name, where the system tells it.
func cpu() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
