package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// account is the engine's own; region is any, as there is but one machine.
const (
	account = "000000000000"
	region  = "us-east-1"
)

// place is where the rehearsal happens: a scratch folder, and the engine's address
// on the loopback, which is everybody's AWS_ENDPOINT_URL here.
type place struct {
	root   string // of the repository
	folder string // scratch
	url    string
}

// freePort is one that nothing listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it waits for nobody
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// environment is a child's: the engine for AWS, and nobody's credentials.
func (p place) environment(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	return append(append(env, "AWS_ENDPOINT_URL="+p.url, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_EC2_METADATA_DISABLED=true", "CDK_DISABLE_CLI_TELEMETRY=true", "CDK_DISABLE_VERSION_CHECK=1", "NODE_NO_WARNINGS=1",
		"CDK_DEFAULT_ACCOUNT="+account, "CDK_DEFAULT_REGION="+region, "TMPDIR="+p.folder), more...)
}

// child is a command in a process group of its own, which is ended as a whole:
// the engine runs functions as processes below itself.
func (p place) child(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = p.folder
	cmd.Env = p.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs a command to its end; its error has what the command said.
func (p place) run(ctx context.Context, name string, args ...string) error {
	cmd := p.child(ctx, name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, tail(said.String()))
	}
	return nil
}

// tail is the end of what a command said, which has its reason.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// start starts the engine; stop ends it and all that it started.
func (p place) start(ctx context.Context, packages string) (stop func(), err error) {
	log, err := os.Create(filepath.Join(p.folder, "engine.log"))
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(p.url, "http://"))
	cmd := p.child(ctx, "python3", "-m", "ministack")
	cmd.Env = p.environment("PYTHONPATH="+packages, "BIND_HOST=127.0.0.1", "GATEWAY_PORT="+port, "SFN_WAIT_SCALE=1", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Cancel()
		_ = cmd.Wait() // it was ended, and says so
		_ = log.Close()
	}, nil
}

// ask makes one HTTP call of the engine, of a service with a JSON protocol.
func (p place) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	sent, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return p.send(ctx, method, path, "lambda", "application/json", sent)
}

// deleteStack asks CloudFormation itself, by the stack's name.
func (p place) deleteStack(ctx context.Context) error {
	form := url.Values{"Action": {"DeleteStack"}, "Version": {"2010-05-15"}, "StackName": {stack}}
	_, err := p.send(ctx, http.MethodPost, "/", "cloudformation", "application/x-www-form-urlencoded", []byte(form.Encode()))
	return err
}

func (p place) send(ctx context.Context, method, path, service, kind string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	// The engine tells services apart by what a signature is for, and checks none.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261121/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, got)
	}
	if failed := resp.Header.Get("X-Amz-Function-Error"); err == nil && failed != "" {
		err = fmt.Errorf("%s %s: the function failed: %s", method, path, got)
	}
	return got, err
}

// healthy says whether the engine answers.
func (p place) healthy(ctx context.Context) (bool, error) {
	_, err := p.ask(ctx, http.MethodGet, "/_ministack/health", nil)
	if refused := (*net.OpError)(nil); errors.As(err, &refused) {
		return false, nil
	}
	return err == nil, err
}

// invoke calls a deployed function and reads its answer.
func (p place) invoke(ctx context.Context, function string, in, out any) error {
	got, err := p.ask(ctx, http.MethodPost, "/2015-03-31/functions/"+function+"/invocations", in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(got, out); err != nil {
		return fmt.Errorf("invoke %s: %w: %s", function, err, got)
	}
	return nil
}

// variables are those of a deployed function.
func (p place) variables(ctx context.Context, function string) (map[string]string, error) {
	got, err := p.ask(ctx, http.MethodGet, "/2015-03-31/functions/"+function+"/configuration", nil)
	if err != nil {
		return nil, err
	}
	var c struct {
		Environment struct{ Variables map[string]string }
	}
	return c.Environment.Variables, errors.Join(json.Unmarshal(got, &c), nil)
}
