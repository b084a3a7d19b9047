//go:build conform

package ddbstore_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/ddbstore"
	"nightshift/internal/fault"
	"nightshift/internal/session"
	"nightshift/internal/storetest"
)

// engineEnv names the binary of the DynamoDB engine; engine.sh fetches one.
const engineEnv = "NIGHTSHIFT_DYNAMODB_ENGINE"

// startMax bounds the engine's start; it takes a tenth of a second.
const startMax = 20 * time.Second

func TestConform(t *testing.T) {
	client := engine(t)
	tables := 0
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		tables++
		s := fresh(t, client, fmt.Sprintf("suite-%d", tables))
		return storetest.Harness{Store: s, SampleBody: s.SampleBody, Settle: func() {}, Declared: 1}
	})
}

func TestConformTable(t *testing.T) {
	client := engine(t)
	ctx := t.Context()
	s := fresh(t, client, "table")
	err := ddbstore.Create(ctx, client, "table")
	if err == nil {
		t.Error("a table was created twice")
	}
	_, err = ddbstore.New(client, "nowhere").Session(ctx, "s")
	if fault.KindOf(err) != fault.Unknown || !strings.Contains(err.Error(), "the table or its index is not there") {
		t.Errorf("a missing table: %v", err)
	}
	big := session.UserFacts{User: "ana", Version: 1, Lock: session.Lock{Why: strings.Repeat("x", 399<<10)}}
	if err := s.PutUser(ctx, big); err != nil {
		t.Errorf("an item just below the limit: %v", err)
	}
	ttl, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("table")})
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

// engine starts an engine of its own for the test, on a free loopback port.
func engine(t *testing.T) *dynamodb.Client {
	t.Helper()
	path := os.Getenv(engineEnv)
	if path == "" {
		t.Fatalf("%s is not set: it names the DynamoDB engine's binary (engine.sh fetches one)", engineEnv)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	out := &output{}
	cmd := exec.Command(path, "--host", "127.0.0.1", "-p", port)
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
	client := dynamodb.NewFromConfig(aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: aws.String("http://127.0.0.1:" + port),
	})
	answers(t, client, out)
	return client
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
