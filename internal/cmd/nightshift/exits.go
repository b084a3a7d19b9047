package main

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// The exit statuses; exits says when.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitUnknown
	exitNotFound
	exitRefused
)

// exits are all exit statuses: the one table of them.
var exits = []struct {
	status     int
	word, when string
}{
	{exitOK, "ok", "it was done, or there was nothing to do"},
	{exitFailure, "failed", "something is wrong: a check failed, evidence is broken, or a system does not answer"},
	{exitUsage, "usage", "a flag or an argument is wrong; the message names it and what is allowed"},
	{exitUnknown, "unknown", "nothing is known to be wrong, but it is not decided: a check could not be made, or a stop is asked for and not seen yet"},
	{exitNotFound, "not found", "there is no such thing, or it is another user's"},
	{exitRefused, "refused", "it is understood and not done: you may not, it is not possible, it has changed meanwhile, or you said no"},
}

// exitsTopic is what "nightshift help exit-codes" prints.
func exitsTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("The exit status of every command:\n\n")
	for _, e := range exits {
		lines := wrap(e.when, 62)
		fmt.Fprintf(&b, "  %d  %-10s %s\n", e.status, e.word, lines[0])
		for _, more := range lines[1:] {
			fmt.Fprintf(&b, "  %14s%s\n", "", more)
		}
	}
	return &cobra.Command{Use: "exit-codes", Short: "What exit statuses mean", Long: strings.TrimSuffix(b.String(), "\n")}
}

// statusError is an error with an exit status of its own.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

// asUsage makes an error one of usage; nil stays nil.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return statusError{err, exitUsage}
}

// usage is an error about a flag or argument, which the text begins with.
func usage(format string, args ...any) error { return asUsage(fmt.Errorf(format, args...)) }

// statusOf is the exit status for what a command answered.
func statusOf(err error) int {
	var s statusError
	var p *client.Problem
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &s):
		return s.status
	case errors.As(err, &p):
		return statusOfProblem(p.Status)
	}
	return exitFailure
}

func statusOfProblem(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return exitUsage
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity:
		return exitRefused
	}
	return exitFailure
}

// named gives a refused field the name of the command's flag for it, and says
// what was given.
func named(cmd *cobra.Command, err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || p.Field == "" {
		return err
	}
	part := strings.Split(p.Field, ".")
	what, given := part[len(part)-1], ""
	name := kebab(what)
	for _, other := range renamed[name] {
		if f := cmd.Flags().Lookup(other); f != nil && f.Changed {
			name = other
		}
	}
	flag := cmd.Flags().Lookup(name)
	switch {
	case strings.Contains(p.Field, "selector.") && cmd.Flags().Lookup("selector") != nil:
		what = "--selector " + name
	case flag != nil && flag.Changed:
		what, given = "--"+name, flag.Value.String()
	case cmd.Flags().NArg() > 0:
		for _, argument := range []string{"USER", "TIME"} {
			if strings.Contains(cmd.Use, " "+argument) && strings.Contains(arguments[name], argument) {
				what, given = argument, cmd.Flags().Arg(0)
			}
		}
	}
	if given != "" {
		given = fmt.Sprintf("%q is not allowed; ", given)
	}
	return statusError{fmt.Errorf("%s: %sit must be %s", what, given, p.Allowed), statusOfProblem(p.Status)}
}

// renamed are the flags by which a field may have been given that is called
// otherwise; arguments the fields that are given without a flag.
var (
	renamed   = map[string][]string{"status": {"state"}, "until": {"for", "by"}}
	arguments = map[string]string{"user": "USER", "at": "TIME"}
)

var (
	badValue    = regexp.MustCompile(`^invalid argument (".*") for "(?:-., )?--(.*)" flag: `)
	unknownFlag = regexp.MustCompile(`^unknown (?:shorthand )?flag: (.*)$`)
	noValue     = regexp.MustCompile(`^flag needs an argument: (.*)$`)
)

// flagRefused says what is wrong with a flag in a sentence that names it.
func flagRefused(cmd *cobra.Command, err error) error {
	text := err.Error()
	if m := badValue.FindStringSubmatch(text); m != nil {
		must := map[string]string{"float64": "a number", "int": "a whole number", "int64": "a whole number", "bool": "true or false", "duration": "a duration such as 90m or 8h"}
		if f := cmd.Flags().Lookup(m[2]); f != nil && must[f.Value.Type()] != "" {
			return usage("--%s: %s is not allowed; it must be %s", m[2], m[1], must[f.Value.Type()])
		}
	}
	if m := unknownFlag.FindStringSubmatch(text); m != nil {
		return usage("%s: there is no such flag (%s --help lists them)", m[1], cmd.CommandPath())
	}
	if m := noValue.FindStringSubmatch(text); m != nil {
		return usage("%s: its value is missing", m[1])
	}
	return asUsage(err)
}

// kebab is "dueWithin" as a flag, "due-within".
func kebab(field string) string {
	var b strings.Builder
	for _, r := range field {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
