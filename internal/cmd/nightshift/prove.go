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
	reach
	from, to               string
	offline, table, export string
	anchors                []string
	fromAt, toAt           time.Time
}

func proveCommand(t *terminal) *cobra.Command {
	o := proveOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "prove",
		Short: "Say how many stops were on time, and verify the records that say so",
		Long: `prove reads the history of sessions, verifies that no entry was changed, dropped,
reordered or invented, and says how many stops there were, how many were on time
(15 minutes from when the cause was known to when the run was seen over), and the
worst. A stop counts in the time in which it was decided. A session whose run was
over by itself is no stop; a stop that is not confirmed is open, never on time.

It reads a running local system (--local), the table of a deployment (--stack, or
--table), or a file that --export wrote (--offline): that one needs no system, no
account and no network, and anybody can check it by other means: it is JSON lines, hashed
with SHA-256, as the comment of internal/proof describes.

What no file can show is that its newest anchors are gone. Keep an anchor's hash
elsewhere (it is printed here and logged when it is written), and give it with
--anchor: it must be there.

The exit status is 1 if anything is wrong with the evidence, with each fault on a
line of its own; that stops were late does not change it.`,
		Example: "  nightshift prove\n  nightshift prove --from 2026-11-20 --to 2026-11-21 --export evening.jsonl\n" +
			"  nightshift prove --offline evening.jsonl --anchor 5f1c…\n  nightshift prove --stack nightshift --region eu-central-1 --profile audit --from 2026-11-01",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asUsage(o.check(cmd.Flags().Changed)); err != nil {
				return err
			}
			return o.prove(cmd)
		},
	}
	o.reach.flags(cmd)
	f := cmd.Flags()
	f.Lookup("json").Usage = "print one JSON object instead of text"
	f.StringVar(&o.from, "from", "", "count stops decided from this time on: 2026-11-20 (UTC) or 2026-11-20T18:00:00Z")
	f.StringVar(&o.to, "to", "", "count stops decided before this time")
	f.StringVar(&o.offline, "offline", "", "verify this file instead of a system")
	f.StringVar(&o.table, "table", "", "of a deployment: its table, where the stack cannot be read")
	f.StringVar(&o.export, "export", "", "also write the evidence to this new file")
	f.StringArrayVar(&o.anchors, "anchor", nil, "hash of an anchor that was kept elsewhere and must be there; may be repeated")
	return cmd
}

var (
	hashForm  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
)

// check says which flag is wrong, and what it may be.
func (o *proveOptions) check(given func(string) bool) error {
	var sources []string
	for _, name := range []string{"offline", "local", "stack", "table"} {
		if given(name) {
			sources = append(sources, "--"+name)
		}
	}
	switch {
	case len(sources) > 1:
		return fmt.Errorf("%s: give one of --offline, --local, --stack and --table", strings.Join(sources, " and "))
	case given("offline") && o.offline == "":
		return errors.New("--offline: it is empty; it must be a file that --export wrote")
	case given("offline") && given("export"):
		return errors.New("--export: what --offline reads is a file already; give one of the two")
	case given("offline") && (given("region") || given("profile")):
		return errors.New("--region, --profile: a file is in no account; leave them out")
	case given("as") || given("api"):
		return errors.New("--as, --api: the records themselves are read, by nobody's leave but the table's; give --local, --stack or --table")
	case given("table") && !tableName.MatchString(o.table):
		return fmt.Errorf("--table: %q is not allowed; it must be 3 to 255 letters, digits, '_', '-' and '.'", o.table)
	}
	for _, a := range o.anchors {
		if !hashForm.MatchString(a) {
			return fmt.Errorf("--anchor: %q is not allowed; it must be 64 hexadecimal digits, as prove prints them", a)
		}
	}
	var err error
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
func (o *proveOptions) prove(cmd *cobra.Command) error {
	in, err := o.evidence(cmd)
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
	if err := o.tell(cmd.OutOrStdout(), r); err != nil {
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
	case !h.To.IsZero() && !o.fromAt.Before(h.To):
		return fmt.Errorf("--from: the file holds what was decided before %s", h.To.Format(time.RFC3339))
	case !h.At.IsZero() && o.fromAt.After(h.At):
		return fmt.Errorf("--from: the file was made at %s", h.At.Format(time.RFC3339))
	case !o.toAt.IsZero() && !o.toAt.After(h.From):
		return fmt.Errorf("--to: the file holds what was decided from %s on", h.From.Format(time.RFC3339))
	case !h.To.IsZero() && o.toAt.After(h.To):
		return fmt.Errorf("--to: the file holds what was decided before %s", h.To.Format(time.RFC3339))
	}
	return nil
}

// evidence gives the evidence as it comes.
func (o *proveOptions) evidence(cmd *cobra.Command) (io.ReadCloser, error) {
	ctx := cmd.Context()
	if o.offline != "" {
		file, err := os.Open(o.offline)
		if err != nil {
			return nil, fmt.Errorf("--offline: %w", err)
		}
		return file, nil
	}
	deployed, err := o.deployed(cmd)
	if err != nil {
		return nil, err
	}
	if !deployed && o.table == "" {
		return o.ask(ctx)
	}
	if o.table == "" {
		conf, err := o.account(ctx)
		if err != nil {
			return nil, err
		}
		if o.table, err = o.output(ctx, conf, "TableName"); err != nil {
			return nil, err
		}
	}
	store, err := ddbstore.Connect(ctx, o.region, o.profile, o.table)
	if err != nil {
		return nil, fmt.Errorf("the table %s: %w", o.table, err)
	}
	in, out := io.Pipe()
	go func() { out.CloseWithError(app.ExportProof(ctx, store, out, o.fromAt, o.toAt, o.now())) }()
	return in, nil
}

// answerMax bounds what is shown of an answer that is no proof.
const answerMax = 500

func (o *proveOptions) ask(ctx context.Context) (io.ReadCloser, error) {
	door, err := o.door()
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	for name, at := range map[string]time.Time{"from": o.fromAt, "to": o.toAt} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, door+"/proof?"+q.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("--local: %w", err)
	}
	resp, err := (&http.Client{Transport: hinting{}}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be reached: %w", door, errors.Unwrap(err))
	}
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, answerMax))
		return nil, errors.Join(fmt.Errorf("%s answers %s: %s", door, resp.Status, strings.Join(strings.Fields(string(said)), " ")), resp.Body.Close())
	}
	return resp.Body, nil
}

// tell prints what is proven.
func (o *proveOptions) tell(out io.Writer, r proof.Report) error {
	if o.asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return enc.Encode(map[string]any{"holds": r.Holds(), "summary": r.Summary(), "report": r})
	}
	_, err := io.WriteString(out, proofText(r))
	return err
}

func proofText(r proof.Report) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", r.Summary())
	line("  of what was decided %s, as it was at %s", period(r.From, r.To), stamped(r.Header.At))
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
	switch {
	case r.Holds() && r.Anchors > 0:
		line("verified: nothing was changed, dropped, reordered or invented")
	case r.Holds():
		line("verified: in the sessions that are here nothing was changed, dropped or reordered")
	}
	return b.String()
}

// period is the time that stops are counted of. Nothing vouches for it but who reads
// it: a file that says it holds less may lack the rest, and be whole.
func period(from, to time.Time) string {
	switch {
	case from.IsZero() && to.IsZero():
		return "at any time"
	case to.IsZero():
		return "from " + stamped(from) + " on"
	case from.IsZero():
		return "before " + stamped(to)
	}
	return "from " + stamped(from) + " on and before " + stamped(to)
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
