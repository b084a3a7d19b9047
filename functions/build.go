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
	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/identitystore"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	smithytime "github.com/aws/smithy-go/time"

	"nightshift/internal/accounts"
	"nightshift/internal/app"
	"nightshift/internal/cadence"
	"nightshift/internal/checkpoints"
	"nightshift/internal/config"
	"nightshift/internal/cost"
	"nightshift/internal/ddbstore"
	"nightshift/internal/edge"
	emrcontainersengine "nightshift/internal/engine/emrcontainers"
	emrnotebookengine "nightshift/internal/engine/emrnotebook"
	livyengine "nightshift/internal/engine/livy"
	sagemakerengine "nightshift/internal/engine/sagemaker"
	"nightshift/internal/identity"
	"nightshift/internal/inbound"
	"nightshift/internal/notify"
	"nightshift/internal/obs"
	"nightshift/internal/outbound"
	"nightshift/internal/workflow"
	"nightshift/internal/workload"
	"nightshift/statemachines"
)

const (
	// livyTimeout bounds one call of a Livy server, below the function's own time
	// limit, so that a server that hangs fails its round and not the function.
	livyTimeout = 30 * time.Second
	// lookupAttempts is how often a lookup of CloudTrail is tried: a replay makes
	// more of them than the 2 a second that an account and region may.
	lookupAttempts = 8
	// identityAttempts is how often another call about a user is tried; the next
	// round asks again.
	identityAttempts = 4
	// sessionsTimeout bounds one page of the session source.
	sessionsTimeout = 10 * time.Second
)

// App makes the use cases for the function of that name, the folder below
// functions/. Its error says everything that is wrong with the environment at
// once. Clients are made for all services, as that costs nothing: what a
// function must not do, its role does not allow and its environment does not name.
func App(ctx context.Context, function string, getenv func(string) string, now func() time.Time) (*app.App, error) {
	a, _, err := Settled(ctx, function, getenv, now)
	return a, err
}

// Settled is App for a function that needs what its environment says besides.
func Settled(ctx context.Context, function string, getenv func(string) string, now func() time.Time) (*app.App, config.Config, error) {
	c, err := config.Load(getenv, config.For(function)...)
	if err != nil {
		return nil, c, fmt.Errorf("environment of %s: %w", function, err)
	}
	a, err := appOf(ctx, function, c, now)
	return a, c, err
}

func appOf(ctx context.Context, function string, c config.Config, now func() time.Time) (*app.App, error) {
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(c.Region))
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration of %s: %w", function, err)
	}
	log := obs.NewLogger(os.Stdout, c.LogLevel, function)
	reach := accountsOf(sdk, function, c)
	id := identityOf(reach.At(c.IdentityAccount, c.IdentityRegion), function, c, now, log)
	sessions, err := sessionsOf(sdk, c, nil)
	if err != nil {
		return nil, fmt.Errorf("session source of %s: %w", function, err)
	}
	machines := sfn.NewFromConfig(sdk)
	flow := workflow.New(machines, c.WatchMachine, c.DrainMachine)
	engines, ids, err := endpoints(reach, c, now)
	if err != nil {
		return nil, fmt.Errorf("endpoints of %s: %w", function, err)
	}
	return &app.App{
		Store:     ddbstore.New(dynamodb.NewFromConfig(sdk), c.Table),
		Engines:   engines,
		Identity:  id,
		Starter:   flow,
		Waiters:   flow,
		Aborted:   workflow.NewWaiting(machines, waiting(c.RunMachine)...),
		Runs:      workflow.NewRuns(machines, c.RunMachine),
		Again:     inbound.Again,
		Moves:     workflow.NewRuns(machines, c.MoveMachine),
		Placing:   inbound.Placing,
		Elsewhere: inbound.Elsewhere,
		Spec:      inbound.Spec,
		// What S3 keeps of runs is in the functions' own region, or not known.
		Checkpoints: checkpoints.New(s3.NewFromConfig(sdk)),
		Announcer:   notify.New(eventbridge.NewFromConfig(sdk), c.Bus, outbound.Encode),
		Parallel:    edge.Parallel,
		Pause:       smithytime.SleepWithContext,
		Parse:       inbound.Parse,
		Meter:       obs.NewMeter(os.Stdout, function, now),
		Log:         log,
		Now:         now,
		Endpoints:   ids,
		Settings:    settings(c.Endpoints),
		Book:        book(c),
		Users:       id,
		Names:       names(id),
		IsID:        app.IsUserID,

		IdentityStore: c.IdentityStoreID,
		Sessions:      sessions,
	}, nil
}

// accountsOf gives what clients in the members' accounts are made of.
func accountsOf(sdk aws.Config, function string, c config.Config) *accounts.Accounts {
	return accounts.New(sdk, c.Account, c.MemberRole, "nightshift-"+function)
}

// waiting are the machines whose executions open sessions and wait on their runs:
// of one stack, and so named alike. None where run is not told.
func waiting(run string) []string {
	stack, is := strings.CutSuffix(run, statemachines.Run)
	if !is {
		return nil
	}
	return []string{run, stack + statemachines.SubmitJobRun, stack + statemachines.ProcessInVPC}
}

// book has the published prices, and what the settings tell of clusters.
func book(c config.Config) cost.Book {
	b := cost.Book{Table: cost.Published(), Home: c.Region, Clusters: map[string]workload.Billing{}}
	for _, e := range c.Endpoints {
		if _, id, _ := strings.Cut(e.ID, "/"); e.Hardware.Instances > 0 {
			b.Clusters[id] = e.Hardware
		}
	}
	return b
}

// names asks whose the names are that runs carry; nobody is asked where no identity
// store is configured.
func names(id *identity.Identity) app.Names {
	if id.StoreID == "" {
		return nil
	}
	return id
}

// identityOf makes the clients for Identity Center, where sdk leads to.
func identityOf(sdk aws.Config, function string, c config.Config, now func() time.Time, log *slog.Logger) *identity.Identity {
	s := identity.Settings{
		StoreID: c.IdentityStoreID, Endpoints: map[string]identity.Endpoint{}, Now: now, Log: log, FactsAge: c.FactsAge, Pause: smithytime.SleepWithContext,
		Rates: identity.Rates(config.ShareOf(function, len(c.Endpoints))),
	}
	for _, e := range c.Endpoints {
		s.Endpoints[e.ID] = identity.Endpoint{Application: e.ApplicationARN, Facts: e.Facts}
	}
	// They slow down when throttled instead of failing the round: the quotas are the
	// account's, and others use them too.
	slower := func(attempts int) aws.Retryer {
		return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.MaxAttempts = attempts })
		})
	}
	return identity.New(s,
		ssoadmin.NewFromConfig(sdk, func(o *ssoadmin.Options) { o.Retryer = slower(identityAttempts) }),
		identitystore.NewFromConfig(sdk, func(o *identitystore.Options) { o.Retryer = slower(identityAttempts) }),
		cloudtrail.NewFromConfig(sdk, func(o *cloudtrail.Options) { o.Retryer = slower(lookupAttempts) }))
}

// sessionsOf makes the session source; nil where there is none. transport is how
// it is reached, nil for the default.
func sessionsOf(sdk aws.Config, c config.Config, transport http.RoundTripper) (app.SessionSource, error) {
	if c.SessionsURL == "" {
		return nil, nil //nolint:nilnil // no source is a source that is not there
	}
	var token func(context.Context) (string, error)
	if c.SessionsTokenSecret != "" {
		token = bearer(secretsmanager.NewFromConfig(sdk, func(o *secretsmanager.Options) {
			o.Region = strings.Split(c.SessionsTokenSecret, ":")[3]
		}), c.SessionsTokenSecret)
	}
	return identity.NewSessions(inbound.PortalSource, c.SessionsURL, token, &http.Client{Timeout: sessionsTimeout, Transport: transport})
}

// endpoints makes an engine for each endpoint, of its account's and Region's client. The drain and the watch pace every
// call, so the clients must not repeat any by themselves.
func endpoints(reach *accounts.Accounts, c config.Config, now func() time.Time) (engines map[string]app.Engine, ids []string, err error) {
	engines = map[string]app.Engine{}
	for _, e := range c.Endpoints {
		in := e.In(c.Region)
		engine, err := engineOf(reach.At(in.Account, in.Region), e, now)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.ID, err)
		}
		of, ok := engines[e.API].(app.PerEndpoint)
		if !ok {
			of = app.PerEndpoint{}
			engines[e.API] = of
		}
		of[e.ID] = engine
		ids = append(ids, e.ID)
	}
	return engines, ids, nil
}

// settings are the endpoints' own numbers.
func settings(list []config.Endpoint) map[string]cadence.Endpoint {
	all := map[string]cadence.Endpoint{}
	for _, e := range list {
		all[e.ID] = e.Cadence
	}
	return all
}

func engineOf(sdk aws.Config, e config.Endpoint, now func() time.Time) (app.Engine, error) {
	account := e.Account()
	switch e.API {
	case "livy":
		return livyOf(sdk, e, now)
	case "emr-containers":
		return emrcontainersengine.New(emrcontainers.NewFromConfig(sdk, func(o *emrcontainers.Options) {
			o.Retryer = aws.NopRetryer{}
		}), account, e.Region, now, e.VirtualClusters...).ReadUserFrom(e.UserTag), nil
	case "emr-notebook":
		return emrnotebookengine.New(emr.NewFromConfig(sdk, func(o *emr.Options) {
			o.Retryer = aws.NopRetryer{}
		}), account, e.Region, now).ReadUserFrom(e.UserTag), nil
	case "sagemaker":
		return sagemakerengine.New(sagemaker.NewFromConfig(sdk, func(o *sagemaker.Options) {
			o.Retryer = aws.NopRetryer{}
		}), account, e.Region, now).ReadUserFrom(e.UserTag), nil
	}
	return nil, fmt.Errorf("there is no engine for %q", e.API)
}

// livyOf makes the engine of a Livy server.
func livyOf(sdk aws.Config, e config.Endpoint, now func() time.Time) (app.Engine, error) {
	authorities := []byte(e.Livy.CA)
	if e.Livy.CAFile != "" {
		var err error
		if authorities, err = os.ReadFile(e.Livy.CAFile); err != nil {
			return nil, fmt.Errorf("livyCAFile: %w", err)
		}
	}
	client, err := livyengine.Client(livyTimeout, authorities)
	if err != nil {
		return nil, err
	}
	options := []livyengine.Option{livyengine.WithPageSize(e.Cadence.Page)}
	if e.Livy.Role != "" {
		api := emr.NewFromConfig(sdk, func(o *emr.Options) { o.Retryer = aws.NopRetryer{} })
		options = append(options, livyengine.WithCredentials(emrnotebookengine.Credentials(api, e.Livy.Cluster, e.Livy.Role)))
	}
	if e.Livy.DoAs != "" {
		options = append(options, livyengine.WithDoAs(e.Livy.DoAs))
	}
	return livyengine.New(e.URL, client, e.ID, now, options...), nil
}
