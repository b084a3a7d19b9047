package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// localDoor is where a local system is unless somebody says otherwise.
const localDoor = "http://127.0.0.1:4600"

// reach is which Nightshift a command is about.
type reach struct {
	*terminal
	local, as, api, stack, region, profile string
	asJSON                                 bool
}

// flags gives a command the flags of which Nightshift it is about, and --json.
func (r *reach) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.local, "local", "", "a local system (the default): --local, or --local=URL")
	f.Lookup("local").NoOptDefVal = localDoor
	f.StringVar(&r.as, "as", "", "of a local system: act as this user instead of as administrator")
	f.StringVar(&r.stack, "stack", "nightshift", "of a deployment: the name of its stack")
	f.StringVar(&r.region, "region", "", "of a deployment: its region; empty: as the AWS CLI is set")
	f.StringVar(&r.profile, "profile", "", "of a deployment: the profile to use; empty: as the AWS CLI is set")
	f.StringVar(&r.api, "api", "", "of a deployment: address of its API instead of a stack (or NIGHTSHIFT_API)")
	f.BoolVar(&r.asJSON, "json", false, "print JSON, as the API describes it (GET /api/openapi.json)")
	r.late = append(r.late, func() { r.completes(cmd) })
}

// deployed says whether the command is about a deployment, by what was given.
func (r *reach) deployed(cmd *cobra.Command) (bool, error) {
	given := ""
	for _, flag := range []string{"stack", "region", "profile", "api"} {
		if cmd.Flags().Changed(flag) {
			given = flag
		}
	}
	local := cmd.Flags().Changed("local")
	switch {
	case local && given != "":
		return false, usage("--local, --%s: give one of the two; a local system is in no account", given)
	case r.as != "" && given != "":
		return true, usage("--as: only a local system lets somebody act as another; leave it out")
	}
	return given != "" || !local && r.as == "" && r.getenv("NIGHTSHIFT_API") != "", nil
}

// open gives a client of the system that the command is about.
func (r *reach) open(cmd *cobra.Command) (*client.Client, error) {
	deployed, err := r.deployed(cmd)
	if err != nil {
		return nil, err
	}
	c := &client.Client{Header: http.Header{}, Wait: r.wait, Key: r.key, HTTP: &http.Client{Timeout: time.Minute}}
	if deployed {
		return c, r.openDeployed(cmd.Context(), c)
	}
	c.Base, err = r.door()
	if r.as != "" {
		c.Header.Set("Nightshift-As", r.as)
	}
	c.HTTP.Transport = hinting{}
	return c, err
}

// door is the address of the local system.
func (r *reach) door() (string, error) {
	if r.local == "" {
		return localDoor, nil
	}
	return address("--local", r.local, "the address of a local system, such as "+localDoor)
}

// address checks the address of a system; one that is not this machine must be
// HTTPS, so that nobody reads or changes what is said.
func address(flag, text, must string) (string, error) {
	u, err := url.Parse(text)
	if err == nil {
		ip := net.ParseIP(u.Hostname())
		own := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
		if u.Host != "" && u.User == nil && u.RawQuery == "" && (u.Scheme == "https" || u.Scheme == "http" && (own || flag == "--local")) {
			return strings.TrimSuffix(text, "/"), nil
		}
	}
	return "", usage("%s: %q is not allowed; it must be %s", flag, text, must)
}

// hinting says what may be missing where no local system answers.
type hinting struct{}

func (hinting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		err = &noSystem{err}
	}
	return resp, err
}

type noSystem struct{ error }

func (e *noSystem) Unwrap() error { return e.error }

func (e *noSystem) Error() string {
	return "no local system answers there (nightshift up starts one; --stack names a deployment): " + e.error.Error()
}

// offered gives a shell what sessions have, each once: their ids, users or
// endpoints. Of restart those that are over, else those that live.
func (r *reach) offered(of func(client.Session) string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := r.open(cmd)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		query := url.Values{}
		if cmd.Name() == "restart" {
			query.Set("status", "ENDED")
		}
		var page struct{ Sessions []client.Session }
		_, _ = c.Ask(cmd.Context(), http.MethodGet, "/api/sessions", query, nil, &page) // a shell that cannot be helped is not helped
		var all []string
		for _, s := range page.Sessions {
			if word := of(s); !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completes offers for each flag that a command has, and for its argument, what
// sessions have.
func (r *reach) completes(cmd *cobra.Command) {
	id := func(s client.Session) string { return s.ID + "\t" + s.User + " " + s.Engine }
	user := func(s client.Session) string { return s.User }
	switch {
	case strings.Contains(cmd.Use, "SESSION"):
		cmd.ValidArgsFunction = r.offered(id)
	case strings.Contains(cmd.Use, "USER"):
		cmd.ValidArgsFunction = r.offered(user)
	}
	for flag, of := range map[string]func(client.Session) string{"session": id, "user": user, "as": user, "endpoint": func(s client.Session) string { return s.Endpoint }} {
		if cmd.Flags().Lookup(flag) == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(flag, r.offered(of)); err != nil {
			panic(err) // it is registered twice: a fault of this program
		}
	}
}

// listed reads a list of the API, what is wanted of it, as many as the limit; 0: all.
func listed[T any](cmd *cobra.Command, c *client.Client, path string, limit int, want func(T) bool) (items []json.RawMessage, all []T, err error) {
	_, err = c.Pages(cmd.Context(), path, nil, func(item json.RawMessage) (bool, error) {
		var v T
		if err := json.Unmarshal(item, &v); err != nil {
			return false, err
		}
		if want(v) {
			items, all = append(items, item), append(all, v)
		}
		return limit == 0 || len(all) < limit, nil
	})
	return items, all, err
}
