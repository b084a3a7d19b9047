package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/config"
	"nightshift/internal/local"
)

func upCommand(t *terminal) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the local system until it is interrupted",
		Long: `up runs the whole of Nightshift in one process, with simulated engines that
speak the real protocols, behind a plain HTTP door. At the door's root it also
speaks the protocols of AWS, so that the AWS CLI and the SDKs drive it with
--endpoint-url: events put-events and test-event-pattern, stepfunctions,
sagemaker, emr-containers, notebook executions of emr, sts get-caller-identity.
It checks no signatures. It is a local system for trying things out; it is not
for production. Its page for people is at the door's root; it begins empty,
unless --example begins some runs.

Nothing it holds survives it, unless --dynamodb names a DynamoDB engine: then
the records do. Its clock goes on from where it stopped, where that is later than
now. The simulated engines and the executions start empty all the same: what was
running is seen gone, and its session ends as lost, some ten minutes of its clock
later. Names of executions and jobs that were used stay used.

With --member, engines of another account are there too, which are called in the
name of a role of that account only. Their endpoints are emr-containers/ and
sagemaker/ followed by the member; an event whose account and region are the
member's appears there, and is forwarded.`,
		Example: "  nightshift up --example --speed 10                 # runs to look at, six seconds a minute\n  nightshift up --listen 127.0.0.1:4600 --speed 60   # a minute a second\n" +
			"  nightshift up --dynamodb http://127.0.0.1:8000     # records that survive it",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkSpeed(o.speed, false); err != nil {
				return err
			}
			if cmd.Flags().Changed("table") && o.dynamodb == "" {
				return usage("--table: it names a table of the engine that --dynamodb names; give both or neither")
			}
			if err := o.readMembers(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return t.up(ctx, o)
		},
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:4600", "address of the HTTP door; port 0 takes a free one")
	cmd.Flags().Float64Var(&o.speed, "speed", 1, "virtual seconds a second")
	cmd.Flags().BoolVar(&o.example, "example", false, "begin with some runs of ana, ben, chloe and rosa, to look at")
	cmd.Flags().StringVar(&o.dynamodb, "dynamodb", "", "URL of a DynamoDB engine that keeps the records; empty: nothing survives")
	cmd.Flags().StringVar(&o.table, "table", "nightshift", "with --dynamodb: the table, made where it is missing")
	cmd.Flags().StringArrayVar(&o.members, "member", nil, "account/region of another account with engines of its own, EMR on EKS and SageMaker; repeat it for several")
	return cmd
}

// upOptions are the flags of up.
type upOptions struct {
	listen, dynamodb, table string
	speed                   float64
	example                 bool
	members                 []string
	places                  []config.Place // of members
}

// readMembers reads --member.
func (o *upOptions) readMembers() error {
	for _, m := range o.members {
		p, ok := config.ParsePlace(m)
		switch {
		case !ok:
			return usage("--member: %q is not allowed; it must be %s", m, config.PlaceForm)
		case p.Account == local.Account:
			return usage("--member: %s is the local system's own account; a member is another", p.Account)
		case slices.Contains(o.places, p):
			return usage("--member: %s is given twice", p)
		}
		o.places = append(o.places, p)
	}
	return nil
}

// histories is how many events of executions that ended up can still tell.
const histories = 100_000

// records opens what --dynamodb names and says when the clock may begin.
// keep keeps them for this system alone until ctx ends, and says where it cannot.
func (t *terminal) records(ctx context.Context, o upOptions) (store app.Store, start time.Time, keep func() error, err error) {
	start = t.now().UTC().Truncate(time.Second)
	if o.dynamodb == "" {
		return nil, start, func() error { <-ctx.Done(); return nil }, nil
	}
	var hold *local.Hold
	if store, err = local.OpenRecords(ctx, o.dynamodb, o.table); err == nil {
		hold, err = local.Take(ctx, store, t.now, t.wait)
	}
	if err == nil {
		start, err = local.Resume(ctx, store, start)
	}
	if err != nil {
		return nil, start, nil, o.refused(err)
	}
	return store, start, func() error { return o.refused(hold.Keep(ctx)) }, nil
}

// refused says of what is wrong with the records where they are, and what to do
// where another system has them.
func (o upOptions) refused(err error) error {
	if errors.Is(err, local.ErrHeld) {
		err = fmt.Errorf("table %q: %w; stop the other one, or name another table with --table", o.table, err)
	}
	if err != nil {
		err = fmt.Errorf("--dynamodb: %w", err)
	}
	return err
}

func (t *terminal) up(ctx context.Context, o upOptions) error {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usage("--listen: %q is not allowed; it must be host:port, such as 127.0.0.1:4600", o.listen)
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen: cannot listen on %s: %w", o.listen, err)
	}
	store, start, keep, err := t.records(ctx, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	c := clock.Paced(start, o.speed, t.now)
	s, err := local.New(local.Options{Clock: c, Histories: histories, Store: store, Members: o.places, Log: slog.New(slog.NewJSONHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer s.Close()
	if err := s.Defaults(); err != nil {
		return errors.Join(err, l.Close())
	}
	s.Start()
	if o.example {
		if err := s.Example(); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	server := &http.Server{Handler: s.Door(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	go c.Serve()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		fmt.Fprintf(t.out, "warning: %s is not a loopback address; whoever reaches it can stop every run here\n", host) //nolint:errcheck // a terminal
	}
	o.greet(t.out, l.Addr().String())
	held := make(chan error, 1)
	go func() { held <- keep() }()
	select {
	case err := <-served:
		return fmt.Errorf("the HTTP door closed: %w", err)
	case err := <-held: // ctx is done, or another system has the records
		return errors.Join(err, server.Close())
	}
}

// greet says where the system is, and what somebody new to it does next.
func (o upOptions) greet(out io.Writer, at string) {
	pace, local := "in real time", ""
	if o.speed != 1 {
		pace = fmt.Sprintf("%g virtual seconds a second", o.speed)
	}
	if door := "http://" + at; door != localDoor {
		local = " --local=" + door
	}
	fmt.Fprintf(out, "Nightshift, local system with simulated engines (not for production), on http://%s, %s. Stop it with Ctrl-C.\n", at, pace) //nolint:errcheck // a terminal
	fmt.Fprintf(out, "Page for people: http://%s/. Command line, in another terminal: nightshift sessions%s\n", at, local)                       //nolint:errcheck // a terminal
	if !o.example && o.dynamodb == "" {
		fmt.Fprintln(out, "Nothing runs yet; nightshift up --example begins with some runs to look at.") //nolint:errcheck // a terminal
	}
}
