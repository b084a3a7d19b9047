//go:build conform

package local_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nightshift/internal/conform"
	"nightshift/internal/local"
)

// engineEnv names the binary of the DynamoDB engine, as for package ddbstore.
const engineEnv = "NIGHTSHIFT_DYNAMODB_ENGINE"

// startMax bounds the engine's start; it takes a tenth of a second.
const startMax = 20 * time.Second

func TestConformRecordsOutliveTheSystem(t *testing.T) {
	at := engine(t)
	records, err := local.OpenRecords(t.Context(), at, "nightshift")
	if err != nil {
		t.Fatal(err)
	}
	outlive(t, records)
	again, err := local.OpenRecords(t.Context(), at, "nightshift")
	if err != nil {
		t.Fatalf("the table that is there: %v", err)
	}
	found(t, again)
}

// engine starts an engine of its own for the test and gives its URL.
func engine(t *testing.T) string {
	t.Helper()
	path := os.Getenv(engineEnv)
	if path == "" {
		t.Fatalf("%s is not set: it names the DynamoDB engine's binary (internal/ddbstore/engine.sh fetches one)", engineEnv)
	}
	port := conform.Port(t)
	cmd := exec.Command(path, "--host", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("engine: %v", err)
		}
		_ = cmd.Wait() // it was killed
	})
	at := "http://" + "127.0.0.1:" + port
	client := dynamodb.NewFromConfig(aws.Config{
		Region: local.Region, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), BaseEndpoint: &at,
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 0, 50*time.Millisecond, unlimited{}
			})
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	if _, err := client.ListTables(ctx, &dynamodb.ListTablesInput{}); err != nil {
		t.Fatalf("the engine does not answer: %v", err)
	}
	return at
}

// unlimited lets every retry through.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }
