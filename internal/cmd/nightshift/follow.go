package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/client"
)

// patience is how many times in a row what is waited for may be out of reach
// before the waiting is given up. It goes on all the same.
const (
	patience = 10
	glance   = 2 * time.Second
)

// errUnseen: what was waited for had not come when the waiting ended.
var errUnseen = errors.New("it is not seen yet")

// unseen gives errUnseen the text and the exit status of a command; any other
// error, and nil, stay.
func unseen(err error, text string) error {
	if errors.Is(err, errUnseen) {
		return statusError{errors.New(text), exitUnknown}
	}
	return err
}

// await reads a resource again and again into a value until seen says that it is
// as wanted, and answers it as it came. The error is errUnseen where somebody
// interrupts it, or the system is out of reach for too long.
func (r *reach) await(cmd *cobra.Command, c *client.Client, path string, into any, seen func() bool) (client.Answer, error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	for failed := 0; failed < patience; {
		a, err := c.Get(ctx, path, into)
		var p *client.Problem
		switch {
		case err == nil && seen():
			return a, nil
		case err == nil:
			failed = 0
		case errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests:
			return a, err
		default:
			failed++
		}
		if r.wait(ctx, glance) != nil {
			break
		}
	}
	return client.Answer{}, errUnseen
}

// agreed asks whoever is there; without a yes it is a refusal, which says what
// was not done.
func (t *terminal) agreed(question, not string) error {
	fmt.Fprintf(t.err, "\n%s? [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(t.in, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return statusError{errors.New(not + ": you did not say yes"), exitRefused}
	}
	return nil
}

// news prints a line of progress, once for each text.
func (t *terminal) news(last *string, text string) {
	if text != *last {
		*last = text
		fmt.Fprintln(t.err, text)
	}
}
