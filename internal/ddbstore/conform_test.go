//go:build conform

package ddbstore_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"nightshift/internal/conform"
	"nightshift/internal/ddbstore"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/storetest"
)

// The engines: where each is, and how long its start may take. Which of them a
// call is made to is in the tests' names, TestConform/<engine>/….
const (
	dynoxideEnv = "NIGHTSHIFT_DYNAMODB_ENGINE" // dynoxide's binary; engine.sh fetches it
	localEnv    = "NIGHTSHIFT_DYNAMODB_LOCAL"  // DynamoDB Local's folder; dynamodblocal.sh fetches it

	startMax = 60 * time.Second // dynoxide takes 0.1 s, DynamoDB Local 4 s on an idle machine
)

// engines start an engine on a port of the loopback interface each.
var engines = map[string]func(t *testing.T, port string) *exec.Cmd{
	"dynoxide": func(t *testing.T, port string) *exec.Cmd {
		return exec.Command(named(t, dynoxideEnv, "engine.sh"), "--host", "127.0.0.1", "-p", port)
	},
	"dynamodb-local": func(t *testing.T, port string) *exec.Cmd {
		dir := named(t, localEnv, "dynamodblocal.sh")
		conform.Alone(t, "DynamoDB Local")
		return exec.Command("java", "-Djava.library.path="+filepath.Join(dir, "DynamoDBLocal_lib"),
			"-jar", filepath.Join(dir, "DynamoDBLocal.jar"), "-inMemory", "-sharedDb", "-disableTelemetry", "-port", port)
	},
}

// TestConform holds the store against each engine: dynoxide, which is fast and
// which the local system can keep its records in, and AWS's own.
func TestConform(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		t.Run(name, func(t *testing.T) {
			e := start(t, name)
			t.Run("suite", func(t *testing.T) {
				tables := 0
				storetest.Run(t, func(t *testing.T) storetest.Harness {
					tables++
					s := fresh(t, e.db, fmt.Sprintf("suite-%d", tables))
					return storetest.Harness{Store: s, SampleBody: s.SampleBody, Settle: func() {}, Declared: 1}
				})
			})
			t.Run("table", func(t *testing.T) { conformTable(t, e) })
			t.Run("between", func(t *testing.T) { conformBetween(t, e) })
			t.Run("stream", func(t *testing.T) { conformStream(t, e) })
			t.Run("upgrade", func(t *testing.T) { conformUpgrade(t, e) })
			t.Run("capacity", func(t *testing.T) { conformCapacity(t, e) })
		})
	}
}

func conformTable(t *testing.T, e engine) {
	ctx := t.Context()
	s := fresh(t, e.db, "table")
	err := ddbstore.Create(ctx, e.db, "table")
	if err == nil {
		t.Error("a table was created twice")
	}
	_, err = ddbstore.New(e.db, "nowhere").Session(ctx, "s")
	if fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "the table or its index is not there") {
		t.Errorf("a missing table: %v", err)
	}
	big := session.UserFacts{User: "ana", Version: 1, Lock: session.Lock{Why: strings.Repeat("x", 399<<10)}}
	if err := s.PutUser(ctx, big); err != nil {
		t.Errorf("an item just below the limit: %v", err)
	}
	ttl, err := e.db.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("table")})
	if err != nil || aws.ToString(ttl.TimeToLiveDescription.AttributeName) != "expiresAt" {
		t.Errorf("TTL: %+v, %v", ttl, err)
	}
}

func fresh(t *testing.T, client *dynamodb.Client, table string) *ddbstore.Store {
	t.Helper()
	if err := ddbstore.Create(t.Context(), client, table); err != nil {
		t.Fatal(err)
	}
	return ddbstore.New(client, table)
}

// named is what a variable names.
func named(t *testing.T, variable, script string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: it names a DynamoDB engine, which %s fetches; run make conform", variable, script)
	}
	return path
}

// engine is a running engine.
type engine struct {
	name    string
	db      *dynamodb.Client
	streams *dynamodbstreams.Client
}

// start starts an engine of its own for the test, on a free loopback port.
func start(t *testing.T, name string) engine {
	t.Helper()
	port := conform.Port(t)
	out := &output{}
	cmd := engines[name](t, port)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("engine: %v", err)
		}
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the engine said: %s", out)
		}
	})
	c := aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: aws.String("http://127.0.0.1:" + port),
	}
	e := engine{name, dynamodb.NewFromConfig(c), dynamodbstreams.NewFromConfig(c)}
	answers(t, e.db, out)
	return e
}

// answers waits until the engine does.
func answers(t *testing.T, client *dynamodb.Client, out *output) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := client.ListTables(ctx, &dynamodb.ListTablesInput{})
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the engine does not answer: %v; it said: %s", err, out)
		}
	}
}

// output collects what the engine says, from its two pipes at once.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
