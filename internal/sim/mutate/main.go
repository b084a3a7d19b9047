// Command mutate removes each guard of the rules and of the stores' conditions in
// turn, and sees whether some test notices. It knows Go's syntax and which tests
// are the cheapest to ask first; what the guards are for it does not know.
//
// Every mutant of a package is compiled into one test binary, through an overlay
// that leaves the tree alone, and switched on by an environment variable: so a
// mutant costs a run of tests and no compilation.
//
// It exits with 1 where the score is below the least, where a survivor has no
// reason in survivors.txt, and where a reason there is no longer needed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// scoreMin is the least share of mutants that some test must notice, in percent.
const scoreMin = 90

// variable switches a mutant on in a test binary.
const variable = "NIGHTSHIFT_MUTANT"

// group is what is mutated together, and the tests that are asked, cheapest first.
type group struct {
	name  string
	files []string
	tests []suite
}

// suite is one package's tests.
type suite struct {
	pkg  string
	tags string
	args []string
	env  []string
}

func groups(engine string) []group {
	all := []group{
		{"rules", in("internal/session", []string{"table.go", "decide.go", "mode.go", "open.go", "user.go", "wake.go", "extend.go"}), []suite{
			// What is left out here takes a hundred times as long as all others together,
			// and is asked last.
			{pkg: "./internal/session", args: []string{"-test.skip", "Random|EveryPair"}},
			{pkg: "./internal/cmd/nightshift", args: []string{"-test.run", "^TestRules$|^TestDecide(Example|LateEvents|Defaults)$"}}, // one row a sentence
			{pkg: "./internal/app", args: []string{"-test.skip", "EveryCrash|MassStop|EachUser|AssignmentsAre|DriftOf|EveryInterleaving"}},
			{pkg: "./internal/session", args: []string{"-test.run", "Random|EveryPair"}},
			{pkg: "./internal/sim/model", args: []string{"-depth", "5"}},
		}},
		{"storable", in("internal/app", []string{"storable.go"}), []suite{{pkg: "./internal/memstore"}}},
		{"memstore", in("internal/memstore", []string{"memstore.go", "check.go", "facts.go"}), []suite{{pkg: "./internal/memstore"}}},
	}
	if engine != "" {
		all = append(all, group{"ddbstore", in("internal/ddbstore", []string{"commit.go", "facts.go", "history.go", "index.go", "read.go", "record.go", "anchor.go", "places.go", "waiter.go"}), []suite{
			{pkg: "./internal/ddbstore"},
			{pkg: "./internal/ddbstore", tags: "conform", args: []string{"-test.run", "TestConform/dynoxide"}, env: []string{"NIGHTSHIFT_DYNAMODB_ENGINE=" + engine}},
		}})
	}
	return all
}

func in(folder string, files []string) []string {
	for i := range files {
		files[i] = folder + "/" + files[i]
	}
	return files
}

func main() {
	only := flag.String("only", "", "mutants whose name contains this")
	list := flag.Bool("list", false, "print the mutants and stop")
	suites := flag.Int("suites", 100, "ask only so many suites of each group")
	flag.Parse()
	if err := run(*only, *list, *suites); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(only string, list bool, suites int) error {
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	engine := engineIn(".cache/engine")
	if engine == "" {
		fmt.Println("mutate: there is no DynamoDB engine in .cache/engine (`make conform` downloads one): ddbstore's conditions are left out")
	}
	var all []*mutant
	for _, g := range groups(engine) {
		mutants, err := g.mutate(work)
		if err != nil {
			return err
		}
		mutants = slices.DeleteFunc(mutants, func(m *mutant) bool { return !strings.Contains(m.name, only) })
		all = append(all, mutants...)
		if list || len(mutants) == 0 {
			continue
		}
		g.tests = g.tests[:min(suites, len(g.tests))]
		if err := g.play(work, mutants); err != nil {
			return err
		}
	}
	if list {
		for _, m := range all {
			fmt.Println(m.name)
		}
		return nil
	}
	return report(all, only == "", engine != "")
}

// engineIn finds the DynamoDB engine that make conform has downloaded; "" where
// there is none.
func engineIn(folder string) string {
	found, err := filepath.Glob(filepath.Join(folder, "dynoxide-*"))
	if err != nil || len(found) == 0 {
		return ""
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		return ""
	}
	return path
}

// play builds each suite's binary and asks it about the mutants that the ones
// before have not noticed.
func (g group) play(work string, mutants []*mutant) error {
	left := mutants
	for i, s := range g.tests {
		if len(left) == 0 {
			return nil
		}
		binary := filepath.Join(work, fmt.Sprintf("%s-%d.test", g.name, i))
		build := exec.Command("go", "test", "-c", "-tags", s.tags, "-overlay", filepath.Join(work, g.name+".json"), "-o", binary, s.pkg)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the tests of %s with their mutants: %w\n%s", s.pkg, err, out)
		}
		began := time.Now()
		if out, err := s.ask(binary, 0, 10*time.Minute); err != nil {
			return fmt.Errorf("the tests of %s fail without any mutant: %w\n%s", s.pkg, err, tail(out))
		}
		limit := 10*time.Second + 5*time.Since(began)
		fmt.Printf("mutate: %s: %d mutants before the tests of %s, which take %s\n", g.name, len(left), s.pkg, time.Since(began).Round(100*time.Millisecond))
		each(left, func(m *mutant) {
			if s.notices(binary, m.number, limit) {
				m.killer = s.pkg
			}
		})
		left = slices.DeleteFunc(slices.Clone(left), func(m *mutant) bool { return m.killer != "" })
	}
	return nil
}

// notices says whether the tests notice a mutant. Tests that hang have noticed it
// too; but where those without any mutant do not end in that time either, the machine
// is busy, and they are given more.
func (s suite) notices(binary string, number int, limit time.Duration) bool {
	for ; ; limit *= 2 {
		out, err := s.ask(binary, number, limit)
		if err == nil || !bytes.Contains(out, []byte("test timed out")) || limit > time.Hour {
			return err != nil
		}
		if _, err := s.ask(binary, 0, limit); err == nil {
			return true
		}
	}
}

// ask runs a binary with a mutant switched on; an error means that it was
// noticed, or that it took too long and says so.
func (s suite) ask(binary string, number int, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+10*time.Second) // the tests say first that they time out
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"-test.failfast", "-test.timeout", limit.String()}, s.args...)...)
	cmd.Dir = s.pkg // where go test would run it
	cmd.Env = append(append(os.Environ(), s.env...), fmt.Sprintf("%s=%d", variable, number))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the engine, which tests that panic leave behind; mostly there is none
	}
	return out, err
}

func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }

// each does it for all, as many at once as there are processors.
func each(mutants []*mutant, do func(*mutant)) {
	queue := make(chan *mutant)
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for m := range queue {
				do(m)
			}
		})
	}
	for _, m := range mutants {
		queue <- m
	}
	close(queue)
	wg.Wait()
}

// report prints the score and the survivors; whole: no mutant was left out by
// name.
func report(all []*mutant, whole, stores bool) error {
	reasons, err := reasons()
	if err != nil {
		return err
	}
	killed, by := 0, map[string]int{}
	var faults []error
	for _, m := range all {
		why, excused := reasons[m.name]
		delete(reasons, m.name)
		switch {
		case m.killer != "":
			killed++
			by[m.killer]++
			if excused {
				faults = append(faults, fmt.Errorf("survivors.txt excuses %q, which %s notices", m.name, m.killer))
			}
		case excused:
			fmt.Printf("survived: %s\n    %s\n", m.name, why)
		default:
			faults = append(faults, fmt.Errorf("no test notices %q (%s)", m.name, m.place))
		}
	}
	for name := range reasons {
		if whole && (stores || !strings.HasPrefix(name, "internal/ddbstore/")) {
			faults = append(faults, fmt.Errorf("survivors.txt excuses %q, and there is no such mutant", name))
		}
	}
	score := 100 * float64(killed) / float64(max(1, len(all)))
	for _, pkg := range slices.Sorted(keys(by)) {
		fmt.Printf("mutate: noticed by %s: %d\n", pkg, by[pkg])
	}
	fmt.Printf("mutate mutants=%d killed=%d survived=%d score=%.1f%%\n", len(all), killed, len(all)-killed, score)
	if score < scoreMin {
		faults = append(faults, fmt.Errorf("the score is below %d%%", scoreMin))
	}
	return errors.Join(faults...)
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
