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
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
)

func upCommand(now func() time.Time) *cobra.Command {
	var listen string
	var speed float64
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the local system until it is interrupted",
		Long: `up runs the whole of Nightshift in one process, with simulated engines that
speak the real protocols, behind a plain HTTP door. It is a local system for
trying things out; it is not for production. Nothing it holds survives it.`,
		Example: "  nightshift up\n  nightshift up --listen 127.0.0.1:4600 --speed 60   # a minute a second",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkSpeed(speed, false); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return up(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), listen, speed, now)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:4600", "address of the HTTP door; port 0 takes a free one")
	cmd.Flags().Float64Var(&speed, "speed", 1, "virtual seconds a second")
	return cmd
}

func up(ctx context.Context, out, errOut io.Writer, listen string, speed float64, now func() time.Time) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen: %q is not allowed; it must be host:port, such as 127.0.0.1:4600", listen)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: cannot listen on %s: %w", listen, err)
	}
	c := clock.Paced(now().UTC().Truncate(time.Second), speed, now)
	s, err := local.New(local.Options{Clock: c, Log: slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer s.Close()
	if err := s.Defaults(); err != nil {
		return errors.Join(err, l.Close())
	}
	s.Start()
	server := &http.Server{Handler: s.Door(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	go c.Serve()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		fmt.Fprintf(out, "warning: %s is not a loopback address; whoever reaches it can stop every run here\n", host) //nolint:errcheck // a terminal
	}
	fmt.Fprintf(out, "Nightshift, local system with simulated engines (not for production), on http://%s, %g virtual seconds a second. Stop it with Ctrl-C.\n", l.Addr(), speed) //nolint:errcheck // a terminal
	select {
	case err := <-served:
		return fmt.Errorf("the HTTP door closed: %w", err)
	case <-ctx.Done():
		return server.Close()
	}
}
