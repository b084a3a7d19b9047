// Package conform has what the suites share that run against engines nobody here
// wrote (make conform): a free port, moto's start, and the check that no one else can reach an
// engine that listens on all interfaces.
package conform

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	motoEnv    = "NIGHTSHIFT_MOTO"            // moto's Python packages; moto.sh fetches them
	networkEnv = "NIGHTSHIFT_CONFORM_NETWORK" // "shared": engines may listen on all interfaces
	startMax   = 60 * time.Second             // moto takes a second on an idle machine
)

// Port is a port of the loopback interface that nothing listens on now.
func Port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Moto starts moto for the test, on a free loopback port, and answers its URL.
func Moto(t *testing.T) string {
	t.Helper()
	packages := os.Getenv(motoEnv)
	if packages == "" {
		t.Fatalf("%s is not set: it names moto's Python packages, which moto.sh fetches; run make conform", motoEnv)
	}
	port := Port(t)
	said := &strings.Builder{}
	cmd := exec.Command("python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PYTHONPATH="+packages)
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself, which the tests have told then
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("moto said: %s", said)
		}
	})
	url := "http://127.0.0.1:" + port
	answers(t, url)
	return url
}

// answers waits until moto does.
func answers(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	for ctx.Err() == nil {
		if res, err := http.Get(url + "/moto-api/"); err == nil {
			res.Body.Close()
			return
		}
		pause, done := context.WithTimeout(ctx, 50*time.Millisecond)
		<-pause.Done()
		done()
	}
	t.Fatalf("moto does not answer within %s", startMax)
}

// Alone refuses to go on where others could reach what listens on all interfaces;
// who is that.
func Alone(t *testing.T, who string) {
	t.Helper()
	if os.Getenv(networkEnv) == "shared" {
		return
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			t.Fatalf("%s would listen on %s too: run this in a network namespace of its own, as make conform does (alone.sh), or set %s=shared", who, i.Name, networkEnv)
		}
	}
}
