// Package functions wires Nightshift's use cases to AWS, once, for all of the
// functions below it: they differ in what invokes them, not in what they are
// made of. It stands here and not in internal because adapters may not import
// each other and only mains see everything; the mains would otherwise each
// repeat it. It knows constructors and settings; it must not decide anything.
package functions

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"

	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/ddbstore"
	"nightshift/internal/edge"
	emrcontainersengine "nightshift/internal/engine/emrcontainers"
	livyengine "nightshift/internal/engine/livy"
	sagemakerengine "nightshift/internal/engine/sagemaker"
	"nightshift/internal/identity"
	"nightshift/internal/inbound"
	"nightshift/internal/notify"
	"nightshift/internal/obs"
	"nightshift/internal/outbound"
	"nightshift/internal/workflow"
)

const (
	// livyTimeout bounds one call of a Livy server, below the function's own time
	// limit, so that a server that hangs fails its round and not the function.
	livyTimeout = 30 * time.Second
	// lookupAttempts is how often a lookup of CloudTrail is tried: a replay makes
	// more of them than the 2 a second that an account and region may.
	lookupAttempts = 8
)

// App makes the use cases for the function of that name, the folder below
// functions/. Its error says everything that is wrong with the environment at
// once. Clients are made for all services, as that costs nothing: what a
// function must not do, its role does not allow and its environment does not name.
func App(ctx context.Context, function string, getenv func(string) string, now func() time.Time) (*app.App, error) {
	c, err := config.Load(getenv, config.For(function)...)
	if err != nil {
		return nil, fmt.Errorf("environment of %s: %w", function, err)
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(c.Region))
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration of %s: %w", function, err)
	}
	log := obs.NewLogger(os.Stdout, c.LogLevel, function)
	flow := workflow.New(sfn.NewFromConfig(sdk), c.WatchMachine, c.DrainMachine)
	engines, ids := endpoints(sdk, c.Endpoints, now)
	return &app.App{
		Store:     ddbstore.New(dynamodb.NewFromConfig(sdk), c.Table),
		Engines:   engines,
		Identity:  identityOf(sdk, c, now, log),
		Starter:   flow,
		Waiters:   flow,
		Announcer: notify.New(eventbridge.NewFromConfig(sdk), c.Bus, outbound.Encode),
		Parallel:  edge.Parallel,
		Parse:     inbound.Parse,
		Meter:     obs.NewMeter(os.Stdout, function, now),
		Log:       log,
		Now:       now,
		Endpoints: ids,
	}, nil
}

// identityOf makes the clients for Identity Center's own region.
func identityOf(sdk aws.Config, c config.Config, now func() time.Time, log *slog.Logger) *identity.Identity {
	s := identity.Settings{StoreID: c.IdentityStoreID, Endpoints: map[string]identity.Endpoint{}, Now: now, Log: log}
	for _, e := range c.Endpoints {
		s.Endpoints[e.ID] = identity.Endpoint{Application: e.ApplicationARN, Facts: e.Facts}
	}
	sdk = sdk.Copy()
	sdk.Region = c.IdentityRegion
	return identity.New(s, ssoadmin.NewFromConfig(sdk), identitystore.NewFromConfig(sdk),
		cloudtrail.NewFromConfig(sdk, func(o *cloudtrail.Options) {
			// It slows down when throttled instead of failing the replay.
			o.Retryer = retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.MaxAttempts = lookupAttempts })
			})
		}))
}

// endpoints makes an engine for each endpoint. The drain and the watch pace every
// call, so the clients must not repeat any by themselves.
func endpoints(sdk aws.Config, list []config.Endpoint, now func() time.Time) (engines map[string]app.Engine, ids []string) {
	engines = map[string]app.Engine{}
	for _, e := range list {
		parts := strings.Split(e.ID, "/")
		var engine app.Engine
		switch e.API {
		case "livy":
			engine = livyengine.New(e.URL, &http.Client{Timeout: livyTimeout}, e.ID, now)
		case "emr-containers":
			engine = emrcontainersengine.New(emrcontainers.NewFromConfig(sdk, func(o *emrcontainers.Options) {
				o.Region, o.Retryer = e.Region, aws.NopRetryer{}
			}), parts[1], e.Region, now, e.VirtualClusters...)
		case "sagemaker":
			engine = sagemakerengine.New(sagemaker.NewFromConfig(sdk, func(o *sagemaker.Options) {
				o.Region, o.Retryer = e.Region, aws.NopRetryer{}
			}), parts[1], e.Region, now)
		}
		of, ok := engines[e.API].(app.PerEndpoint)
		if !ok {
			of = app.PerEndpoint{}
			engines[e.API] = of
		}
		of[e.ID] = engine
		ids = append(ids, e.ID)
	}
	return engines, ids
}
