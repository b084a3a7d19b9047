package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/app"
	"nightshift/internal/ddbstore"
	"nightshift/internal/proof"
)

// proveOptions are the flags of prove.
type proveOptions struct {
	from, to                string
	offline, url, table     string
	region, profile, export string
	anchors                 []string
	asJSON                  bool
	fromAt, toAt            time.Time
	now                     func() time.Time
	out                     io.Writer
}

func proveCommand(now func() time.Time) *cobra.Command {
	o := proveOptions{now: now}
	cmd := &cobra.Command{
		Use:   "prove",
		Short: "Say how many stops were on time, and verify the records that say so",
		Long: `prove reads the history of sessions, verifies that no entry was changed, dropped,
reordered or invented, and says how many stops there were, how many were on time
(15 minutes from when the cause was known to when the run was seen over), and the
worst. A stop counts in the time in which it was decided. A session whose run was
over by itself is no stop; a stop that is not confirmed is open, never on time.

It reads a running local system (--url), a table in an AWS account (--table), or
a file that --export wrote (--offline): that one needs no system, no account and
no network, and anybody can check it by other means: it is JSON lines, hashed
with SHA-256, as the comment of internal/proof describes.

What no file can show is that its newest anchors are gone. Keep an anchor's hash
elsewhere (it is printed here and logged when it is written), and give it with
--anchor: it must be there.

The exit status is 1 if anything is wrong with the evidence, with each fault on a
line of its own; that stops were late does not change it.`,
		Example: "  nightshift prove\n  nightshift prove --from 2026-11-20 --to 2026-11-21 --export evening.jsonl\n" +
			"  nightshift prove --offline evening.jsonl --anchor 5f1c…\n  nightshift prove --table nightshift --region eu-central-1 --profile audit --from 2026-11-01",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asUsage(o.check(cmd.Flags().Changed)); err != nil {
				return err
			}
			o.out = cmd.OutOrStdout()
			return o.prove(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "count stops decided from this time on: 2026-11-20 (UTC) or 2026-11-20T18:00:00Z")
	f.StringVar(&o.to, "to", "", "count stops decided before this time")
	f.StringVar(&o.offline, "offline", "", "verify this file instead of a system")
	f.StringVar(&o.url, "url", "http://127.0.0.1:4600", "door of the local system to read")
	f.StringVar(&o.table, "table", "", "table in an AWS account to read")
	f.StringVar(&o.region, "region", "", "with --table: its region; empty: as the AWS CLI is set")
	f.StringVar(&o.profile, "profile", "", "with --table: the profile to use; empty: as the AWS CLI is set")
	f.StringVar(&o.export, "export", "", "also write the evidence to this new file")
	f.StringArrayVar(&o.anchors, "anchor", nil, "hash of an anchor that was kept elsewhere and must be there; may be repeated")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object instead of text")
	return cmd
}

var (
	hashForm  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
)

// check says which flag is wrong, and what it may be.
func (o *proveOptions) check(given func(string) bool) error {
	var sources []string
	for _, name := range []string{"offline", "url", "table"} {
		if given(name) {
			sources = append(sources, "--"+name)
		}
	}
	u, err := url.Parse(o.url)
	switch {
	case len(sources) > 1:
		return fmt.Errorf("%s: give one of --offline, --url and --table", strings.Join(sources, " and "))
	case given("offline") && o.offline == "":
		return errors.New("--offline: it is empty; it must be a file that --export wrote")
	case given("offline") && given("export"):
		return errors.New("--export: what --offline reads is a file already; give one of the two")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("--url: %q is not allowed; it must be the URL of a local system, such as http://127.0.0.1:4600", o.url)
	case given("table") && !tableName.MatchString(o.table):
		return fmt.Errorf("--table: %q is not allowed; it must be 3 to 255 letters, digits, '_', '-' and '.'", o.table)
	case !given("table") && (given("region") || given("profile")):
		return errors.New("--region, --profile: they are of the account that --table is in; give --table too")
	}
	for _, a := range o.anchors {
		if !hashForm.MatchString(a) {
			return fmt.Errorf("--anchor: %q is not allowed; it must be 64 hexadecimal digits, as prove prints them", a)
		}
	}
	if o.fromAt, err = timeOf("--from", o.from); err != nil {
		return err
	}
	if o.toAt, err = timeOf("--to", o.to); err != nil {
		return err
	}
	if !o.fromAt.IsZero() && !o.toAt.IsZero() && !o.fromAt.Before(o.toAt) {
		return fmt.Errorf("--to: %s is not after --from %s", o.to, o.from)
	}
	return nil
}

func timeOf(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339Nano} {
		if at, err := time.Parse(form, text); err == nil && at.Year() >= 1 {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %q is not allowed; it must be a day such as 2026-11-20 (in UTC) or a time such as 2026-11-20T18:00:00Z", flag, text)
}

// prove reads the evidence, writes it down where asked, and says what it proves.
func (o *proveOptions) prove(ctx context.Context) error {
	in, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was read to its end, or the error is told
	reader, keep := io.Reader(in), io.Closer(nil)
	if o.export != "" {
		file, err := os.OpenFile(o.export, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("--export: %w; it must be a new file", err)
		}
		reader, keep = io.TeeReader(in, file), file
	}
	r, err := proof.Verify(reader, proof.Options{From: o.fromAt, To: o.toAt, Anchors: o.anchors})
	if keep != nil {
		err = errors.Join(err, keep.Close())
	}
	if err != nil {
		return err
	}
	if err := o.within(r.Header); err != nil {
		return err
	}
	if err := o.tell(r); err != nil {
		return err
	}
	if !r.Holds() {
		return fmt.Errorf("the evidence is broken: %s", counted(int64(len(r.Faults)+r.More), "fault", "faults"))
	}
	return nil
}

// within refuses to count stops of a time that a file does not hold.
func (o *proveOptions) within(h proof.Header) error {
	switch {
	case o.offline == "" || h.Format == 0:
	case o.fromAt.Before(h.From) && !o.fromAt.IsZero():
		return fmt.Errorf("--from: the file holds what was decided from %s on", h.From.Format(time.RFC3339))
	case !h.To.IsZero() && o.toAt.After(h.To):
		return fmt.Errorf("--to: the file holds what was decided before %s", h.To.Format(time.RFC3339))
	}
	return nil
}

// open gives the evidence as it comes.
func (o *proveOptions) open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case o.offline != "":
		file, err := os.Open(o.offline)
		if err != nil {
			return nil, fmt.Errorf("--offline: %w", err)
		}
		return file, nil
	case o.table != "":
		store, err := ddbstore.Connect(ctx, o.region, o.profile, o.table)
		if err != nil {
			return nil, fmt.Errorf("--table: %w", err)
		}
		in, out := io.Pipe()
		go func() { out.CloseWithError(app.ExportProof(ctx, store, out, o.fromAt, o.toAt, o.now())) }()
		return in, nil
	}
	return o.ask(ctx)
}

// answerMax bounds what is shown of an answer that is no proof.
const answerMax = 500

func (o *proveOptions) ask(ctx context.Context) (io.ReadCloser, error) {
	q := url.Values{}
	for name, at := range map[string]time.Time{"from": o.fromAt, "to": o.toAt} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(o.url, "/")+"/proof?"+q.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("--url: no local system answers at %s (nightshift up starts one): %w", o.url, errors.Unwrap(err))
	}
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, answerMax))
		return nil, errors.Join(fmt.Errorf("--url: %s answers %s: %s", o.url, resp.Status, strings.Join(strings.Fields(string(said)), " ")), resp.Body.Close())
	}
	return resp.Body, nil
}

// tell prints what is proven.
func (o *proveOptions) tell(r proof.Report) error {
	if o.asJSON {
		enc := json.NewEncoder(o.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(map[string]any{"holds": r.Holds(), "summary": r.Summary(), "report": r})
	}
	_, err := io.WriteString(o.out, proofText(r))
	return err
}

func proofText(r proof.Report) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", r.Summary())
	if w := r.Worst; w != nil {
		line("  the worst: session %s, %s, known %s, confirmed %s", w.Session, w.Cause, stamped(w.Known), stamped(w.Confirmed))
		line("  from the cause's own time the worst took %s: session %s, %s, at %s", r.WorstOwn.TookFromCause().Round(time.Second), r.WorstOwn.Session, r.WorstOwn.Cause, stamped(r.WorstOwn.Happened))
		line("  took:%s", histogram(r))
	}
	for _, s := range r.Stops {
		late := "late"
		switch {
		case s.Open() && r.Header.At.Sub(s.Known) > proof.Promise:
			late = "open, and overdue"
		case s.Open():
			late = "open"
		case s.OnTime():
			continue
		}
		line("  %s: session %s, %s, by %s (%s), known %s, asked %s, confirmed %s", late, s.Session, s.Cause, orUnknown(s.By), s.Evidence, stamped(s.Known), stamped(s.Asked), stamped(s.Confirmed))
	}
	line("  over by itself, nothing to stop: %s", counted(int64(r.Closed), "session", "sessions"))
	line("read: %s, %s, %s", counted(int64(r.Sessions), "session", "sessions"), counted(int64(r.Entries), "entry", "entries"), counted(r.Anchors, "anchor", "anchors"))
	if r.Anchors > 0 {
		line("  the newest anchor is %d, hash %s", r.Newest.Version, r.Newest.Hash)
		line("  anchors reach to %s; younger changes, which only their own session vouches for: %d", stamped(r.Covered), r.Unanchored)
	} else {
		line("  there are no anchors: that no session is missing cannot be said")
	}
	for _, f := range r.Faults {
		line("BROKEN: %s", f)
	}
	if r.More > 0 {
		line("BROKEN: and %d faults more", r.More)
	}
	if r.Holds() {
		line("verified: nothing was changed, dropped, reordered or invented")
	}
	return b.String()
}

// histogram is how many stops took up to how long.
func histogram(r proof.Report) string {
	var b strings.Builder
	for i, h := range r.Histogram {
		switch {
		case h.Stops == 0:
		case h.UpTo == 0:
			fmt.Fprintf(&b, " more than %s ×%d", brief(r.Histogram[i-1].UpTo), h.Stops)
		default:
			fmt.Fprintf(&b, " up to %s ×%d", brief(h.UpTo), h.Stops)
		}
	}
	return b.String()
}

// brief writes a duration without the zeros: "5m", "30s".
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}

func counted(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func stamped(at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	return at.UTC().Format(time.RFC3339)
}

func orUnknown(by string) string {
	if slices.Contains([]string{"", "unknown"}, by) {
		return "somebody unknown"
	}
	return by
}
