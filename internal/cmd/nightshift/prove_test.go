package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/internal/asl/clock"
	"nightshift/internal/local"
	"nightshift/internal/proof"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var proofBegan = time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)

func proofNow() time.Time { return proofBegan.Add(time.Hour) }

// evidence is a file of four sessions: stopped in time, stopped late, still to be
// stopped, over by itself; all but the newest changes are anchored.
func evidence(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := proof.NewWriter(&b, proof.Header{At: proofNow()})
	at := func(minutes int) string {
		return proofBegan.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339)
	}
	seal := func(previous string, content any) string {
		hash, err := proof.Link(previous, content)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	type entry = map[string]any
	end := func(cause string, known int, more entry) entry {
		e := entry{"Cause": cause, "Evidence": "event-1", "By": "u-ana", "Happened": at(known - 2), "Known": at(known), "Decided": at(known)}
		for k, v := range more {
			e[k] = v
		}
		return e
	}
	asked, opened := entry{"Kind": "stop-accepted", "At": at(11)}, entry{"Kind": "session-opened"}
	lives := map[string][]entry{
		"s-1": {{"At": at(1), "To": "ACTIVE", "Event": opened}, {"At": at(10), "From": "ACTIVE", "To": "ENDING", "End": end("sign-out", 10, nil)},
			{"At": at(11), "From": "ENDING", "To": "ENDING", "Event": asked}, {"At": at(14), "From": "ENDING", "To": "ENDED", "End": end("sign-out", 10, entry{"Asked": at(11), "Confirmed": at(14)})}},
		"s-2": {{"At": at(1), "To": "ACTIVE", "Event": opened}, {"At": at(11), "From": "ACTIVE", "To": "ENDING", "End": end("idle", 11, nil)},
			{"At": at(11), "From": "ENDING", "To": "ENDING", "Event": asked}, {"At": at(30), "From": "ENDING", "To": "ENDED", "End": end("idle", 11, entry{"Asked": at(11), "Confirmed": at(30)})}},
		"s-3": {{"At": at(2), "To": "ACTIVE", "Event": opened}, {"At": at(40), "From": "ACTIVE", "To": "ENDING", "End": end("background-revoked", 40, nil)}},
		"s-4": {{"At": at(3), "To": "ACTIVE", "Event": opened}, {"At": at(20), "From": "ACTIVE", "To": "ENDED", "End": entry{"Cause": "finished", "Confirmed": at(20)}}},
	}
	ids := []string{"s-1", "s-2", "s-3", "s-4"}
	anchor := proof.Anchor{Seq: 1, At: proofBegan.Add(37 * time.Minute), Until: proofBegan.Add(35 * time.Minute)}
	heads := map[string]proof.State{}
	hashes := map[string][]string{}
	for _, id := range ids {
		previous := proof.Genesis
		for i, e := range lives[id] {
			e["SessionID"], e["Version"], e["Previous"] = id, i+1, previous
			previous = seal(previous, e)
			hashes[id] = append(hashes[id], previous)
			heads[id] = proof.State{Session: id, Version: int64(i) + 1, Status: fmt.Sprint(e["To"]), Hash: previous}
			if at := fmt.Sprint(e["At"]); e["From"] != e["To"] && at < anchor.Until.Format(time.RFC3339) {
				anchor.Heads = append(anchor.Heads, proof.Head{Session: id, Version: int64(i) + 1, Hash: previous})
			}
		}
	}
	anchor.Hash = seal("", anchor)
	w.Anchor(anchor)
	for _, id := range ids {
		for i, e := range lives[id] {
			w.Entry(e, hashes[id][i])
		}
		w.Head(heads[id])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rewritten is the evidence with its lines edited, and the last one written anew.
func rewritten(t *testing.T, edit func(body [][]byte) [][]byte) []byte {
	t.Helper()
	all := bytes.SplitAfter(evidence(t), []byte("\n"))
	body := edit(all[:len(all)-2])
	sum := sha256.Sum256(bytes.Join(body, nil))
	end := fmt.Sprintf(`{"type":"end","content":{"Lines":%d,"SHA256":"%x"}}`+"\n", len(body), sum)
	return append(bytes.Join(body, nil), end...)
}

// unanchored is the evidence without its anchor.
func unanchored(t *testing.T) []byte {
	t.Helper()
	return rewritten(t, func(body [][]byte) [][]byte {
		return slices.DeleteFunc(body, func(l []byte) bool { return bytes.HasPrefix(l, []byte(`{"type":"anchor"`)) })
	})
}

// told runs prove and gives what it prints and its error.
func told(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := execute(t.Context(), append([]string{"prove"}, args...), &terminal{
		in: strings.NewReader(""), out: &out, err: io.Discard, now: proofNow, getenv: func(string) string { return "" },
	})
	return out.String(), err
}

func written(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proof.jsonl")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// S8.4: what the command prints, of a file that holds and of one that does not.
func TestS8_4ProveGolden(t *testing.T) {
	t.Parallel()
	good := evidence(t)
	for name, c := range map[string]struct {
		file   []byte
		args   []string
		broken bool
	}{
		"holds":      {good, nil, false},
		"period":     {good, []string{"--from", "2026-11-20T18:10:30Z", "--to", "2026-11-20T18:30:00Z"}, false},
		"unanchored": {unanchored(t), nil, false},
		"broken":     {bytes.Replace(good, []byte(`"By":"u-ana","Cause":"idle"`), []byte(`"By":"u-bob","Cause":"idle"`), 1), nil, true},
		"empty":      {nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := told(t, append([]string{"--offline", written(t, c.file)}, c.args...)...)
			if (statusOf(err) == 1) != c.broken {
				t.Errorf("the exit status is %d: %v", statusOf(err), err)
			}
			golden := filepath.Join("testdata", "prove", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o644); err != nil { //nolint:gosec // test data
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || out != string(want) {
				t.Errorf("%s says otherwise (%v); it printed:\n%s", golden, err, out)
			}
		})
	}
}

// S8.4: no time is counted that the file does not hold; what it holds is said, because
// nothing in it vouches for that.
func TestS8_4ProveCountsOnlyWhatTheFileHolds(t *testing.T) {
	t.Parallel()
	// Whoever rewrites the first line and the last one makes a whole file hold less.
	held := func(from, to string) string {
		t.Helper()
		return written(t, rewritten(t, func(body [][]byte) [][]byte {
			body[0] = bytes.Replace(body[0], []byte(`"From":"0001-01-01T00:00:00Z"`), []byte(`"From":"`+from+`"`), 1)
			body[0] = bytes.Replace(body[0], []byte(`"To":"0001-01-01T00:00:00Z"`), []byte(`"To":"`+to+`"`), 1)
			return body
		}))
	}
	const none = "0001-01-01T00:00:00Z"
	evening := held("2026-11-20T18:10:30Z", "2026-11-20T18:50:00Z")
	out, err := told(t, "--offline", evening)
	if err != nil || !strings.Contains(out, "of what was decided from 2026-11-20T18:10:30Z on and before 2026-11-20T18:50:00Z, as it was at 2026-11-20T19:00:00Z\n") {
		t.Errorf("it is not said what the file holds: %v\n%s", err, out)
	}
	if out, err := told(t, "--offline", held(none, "2026-11-20T18:50:00Z"), "--from", "2026-11-20T18:20:00Z"); err != nil ||
		!strings.Contains(out, "1 stop,") || !strings.Contains(out, "of what was decided from 2026-11-20T18:20:00Z on and before 2026-11-20T18:50:00Z") {
		t.Errorf("a part of what the file holds: %v\n%s", err, out)
	}
	for _, c := range []struct{ file, args, want string }{
		{evening, "--from 2026-11-20", "--from: the file holds what was decided from 2026-11-20T18:10:30Z on"},
		{evening, "--to 2026-11-21", "--to: the file holds what was decided before 2026-11-20T18:50:00Z"},
		{evening, "--from 2026-11-20T18:50:00Z", "--from: the file holds what was decided before 2026-11-20T18:50:00Z"},
		{evening, "--to 2026-11-20T18:10:30Z", "--to: the file holds what was decided from 2026-11-20T18:10:30Z on"},
		{written(t, evidence(t)), "--from 2026-11-21", "--from: the file was made at 2026-11-20T19:00:00Z"},
	} {
		if out, err := told(t, append([]string{"--offline", c.file}, strings.Fields(c.args)...)...); err == nil || err.Error() != c.want {
			t.Errorf("prove %s: got %v, want %s\n%s", c.args, err, c.want, out)
		}
	}
}

// S8.4: --json says the same, for programs.
func TestS8_4ProveJSON(t *testing.T) {
	t.Parallel()
	out, err := told(t, "--json", "--offline", written(t, evidence(t)))
	var got struct {
		Holds   bool
		Summary string
		Report  proof.Report
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || !got.Holds || got.Summary != "3 stops, 1 on time, worst 19m0s, 1 open" || len(got.Report.Stops) != 3 || got.Report.Late != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

// S8.4: a running local system is proved, its file kept, and the file proved
// without the system; then an anchor of it is asked for, and one that never was.
func TestS8_4ProveALocalSystemThenItsFile(t *testing.T) {
	t.Parallel()
	c := clock.New(proofBegan)
	s, err := local.New(local.Options{Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Start()
	c.RunUntil(proofBegan.Add(20 * time.Minute))
	go c.Serve()
	door := httptest.NewServer(s.Door())
	defer door.Close()
	file := filepath.Join(t.TempDir(), "kept.jsonl")
	live, err := told(t, "--local="+door.URL+"/", "--export", file)
	if err != nil || !strings.HasPrefix(live, "0 stops, 0 on time, worst –\n") || !strings.Contains(live, "verified:") {
		t.Fatalf("%v: %s", err, live)
	}
	door.Close()
	kept, err := told(t, "--offline", file)
	if err != nil || kept != live {
		t.Errorf("the file proves otherwise: %v: %s", err, kept)
	}
	_, hash, found := strings.Cut(live, "hash ")
	if !found {
		t.Fatalf("no anchor's hash is told: %s", live)
	}
	if out, err := told(t, "--offline", file, "--anchor", hash[:64]); err != nil {
		t.Errorf("its own anchor is not found: %v: %s", err, out)
	}
	if out, err := told(t, "--offline", file, "--anchor", strings.Repeat("0", 64)); statusOf(err) != 1 || !strings.Contains(out, "BROKEN: no anchor has the hash 000") {
		t.Errorf("an anchor that never was is found: %v: %s", err, out)
	}
	if _, err := told(t, "--local="+door.URL, "--export", file+".new"); err == nil || !strings.Contains(err.Error(), door.URL+" cannot be reached: no local system answers there") {
		t.Errorf("nothing answers: %v", err)
	}
}

// Usage errors name the flag and what it may be.
func TestProveRefusesWithASentence(t *testing.T) {
	t.Parallel()
	file := written(t, evidence(t))
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for _, c := range []struct {
		args, want string
	}{
		{"--offline f --local=http://h", "--offline and --local: give one of --offline, --local, --stack and --table"},
		{"--stack a --table abc", "--stack and --table: give one of --offline, --local, --stack and --table"},
		{"--local --region eu-west-1", "--local, --region: give one of the two"},
		{"--as u-ana", "--as, --api: the records themselves are read"},
		{"--offline=", "--offline: it is empty; it must be a file that --export wrote"},
		{"--offline f --export g", "--export: what --offline reads is a file already"},
		{"--offline " + file + ".none", "--offline: open "},
		{"--local=here", `--local: "here" is not allowed; it must be the address of a local system`},
		{"--local=" + elsewhere.URL, elsewhere.URL + " answers 404 Not Found: 404 page not found"},
		{"--table a/b", `--table: "a/b" is not allowed; it must be 3 to 255 letters`},
		{"--offline f --region eu-west-1", "--region, --profile: a file is in no account"},
		{"--from yesterday", `--from: "yesterday" is not allowed; it must be a day such as 2026-11-20`},
		{"--to 2026-13-01", `--to: "2026-13-01" is not allowed; it must be a day`},
		{"--from 2026-11-20 --to 2026-11-20", "--to: 2026-11-20 is not after --from 2026-11-20"},
		{"--anchor 12ab", `--anchor: "12ab" is not allowed; it must be 64 hexadecimal digits`},
		{"--offline " + file + " --export-to x", "--export-to: there is no such flag"},
	} {
		_, err := told(t, strings.Fields(c.args)...)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("prove %s: got %v, want a sentence that begins with %s", c.args, err, c.want)
		}
	}
	if _, err := told(t, "--local="+elsewhere.URL, "--export", file); err == nil {
		t.Error("a file that is there was written over")
	}
}
