package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"nightshift/internal/inbound"
	"nightshift/internal/session"
)

// decideLineMax bounds one line of input; a longer one is in error and its rest
// is skipped.
const decideLineMax = 16 << 20

func decideCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "decide",
		Short: "Answer JSON lines on standard input with the pure decision; starts nothing",
		Long: `decide reads one case a line (a policy, an opening and events), writes one
answer a line, and starts nothing. A line in error is answered with
{"id":…,"error":"…"}; the others are still answered, and the exit status is 1.`,
		Example: `  nightshift decide < cases.jsonl`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return decide(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

var errLines = errors.New("at least one line was in error; each says why")

func decide(in io.Reader, out io.Writer) error {
	r := bufio.NewReaderSize(in, 64<<10)
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var failed error
	for {
		line, long, err := readLine(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("cannot read standard input: %w", err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		answer, err := decideAnswer{}, fmt.Errorf("the line is longer than %d bytes", decideLineMax)
		if !long {
			answer, err = decideLine(line)
		}
		if err != nil {
			failed = errLines
			err = enc.Encode(decideRefusal{ID: caseID(line), Error: err.Error()})
		} else {
			err = enc.Encode(answer)
		}
		if err != nil {
			return fmt.Errorf("cannot write the answer: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("cannot write the answers: %w", err)
	}
	return failed
}

// readLine reads one line, with or without an end; long says that it was cut at
// decideLineMax and its rest skipped.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if room := decideLineMax - len(line); len(part) > room {
			part, long = part[:room], true
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
			return line, long, nil
		default:
			return nil, false, err
		}
	}
}

// caseID is the id of a line, as far as it can be read from one in error.
func caseID(line []byte) string {
	var c struct {
		ID json.RawMessage `json:"id"`
	}
	var id string
	if json.Unmarshal(line, &c) != nil || json.Unmarshal(c.ID, &id) != nil {
		return ""
	}
	return id
}

type decideRefusal struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

type decideAnswer struct {
	ID             string       `json:"id"`
	Mode           string       `json:"mode"`
	Deadline       string       `json:"deadline"`
	DeadlineSource string       `json:"deadlineSource"`
	Why            []string     `json:"why"`
	Steps          []decideStep `json:"steps"`
}

type decideStep struct {
	Kind           string   `json:"kind"`
	Mode           string   `json:"mode"`
	Status         string   `json:"status"`
	Deadline       string   `json:"deadline"`
	DeadlineSource string   `json:"deadlineSource"`
	Effects        []string `json:"effects"`
	Cause          string   `json:"cause"`
	Ignored        string   `json:"ignored"`
}

func decideLine(line []byte) (decideAnswer, error) {
	if !utf8.Valid(line) {
		return decideAnswer{}, errors.New("the line is not valid UTF-8")
	}
	c, err := inbound.ParseCase(line)
	if err != nil {
		return decideAnswer{}, err
	}
	now := c.Open.At
	policy := c.Policy
	policy.ChangedAt = now
	opened := session.Open(c.Open, policy, session.UserFacts{}, now)
	s := opened.Next
	a := decideAnswer{ID: c.ID, Mode: string(s.Mode), Deadline: stamp(s.Deadline), DeadlineSource: string(s.DeadlineSource), Why: s.Why, Steps: []decideStep{}}
	for _, e := range c.Events {
		if e.At.After(now) {
			now = e.At
		}
		if e.Kind == session.PolicyChanged && !e.At.Before(policy.ChangedAt) {
			policy = e.Policy
			policy.ChangedAt = e.At
		}
		d := session.Decide(s, e.Event, policy, now)
		before := s
		s = d.Next
		a.Steps = append(a.Steps, stepOf(before, e.Kind, d))
	}
	return a, nil
}

// stepOf shows the four effects that this command promises; what else a
// decision causes (announcements, notices, pages) is the running system's.
func stepOf(before session.Session, kind session.Kind, d session.Decision) decideStep {
	s := d.Next
	out := decideStep{Kind: string(kind), Mode: string(s.Mode), Status: string(s.Status), Deadline: stamp(s.Deadline),
		DeadlineSource: string(s.DeadlineSource), Effects: []string{}, Cause: string(s.End.Cause), Ignored: d.Ignored}
	for _, e := range d.Effects {
		switch e.Kind {
		case session.Stop, session.Notify, session.Alert, session.ReleaseWaiter:
			out.Effects = append(out.Effects, string(e.Kind))
		case session.Watch, session.Announce, session.Notice, session.Page:
		}
	}
	if len(out.Effects) == 0 && kind == session.Tick && s.Status == before.Status && out.Ignored == "" {
		out.Ignored = "nothing is due"
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
