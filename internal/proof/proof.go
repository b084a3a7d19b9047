// Package proof makes and checks evidence: that a history is whole and
// unchanged, and that what had to be stopped was stopped in time (S8.4). It
// knows bytes, hashes and the times of a stop; it must not know rules, storage
// or a clock.
//
// # The chain
//
// Each entry of a session's history has a hash: the hex SHA-256 of the hash of
// the entry before it (nothing, for the first), one newline, and the entry's
// content as JSON. So an entry's hash stands for everything before it.
//
// # Anchors
//
// A chain does not show that its newest entries, or the whole session, are
// gone. Anchors do: every few minutes one more is written. It names session,
// version and hash of each status change since the last one, and of some of the
// sessions whose status did not change, in turn. Anchors are chained as
// entries are. Whoever keeps the hash of one anchor where nobody can change it
// (a log, a bucket with Object Lock, a sheet of paper) can show later that
// nothing it stands for was changed since.
//
// # The file
//
// An export is a text file of JSON lines. Anybody can check it with SHA-256 and
// JSON alone. In this order:
//
//	{"type":"export","content":{"Format":1,"At":…,"From":…,"To":…}}
//	{"type":"anchor","hash":H,"content":{"Seq":1,…,"Heads":[{"Session":S,"Version":V,"Hash":H},…],"Previous":H,"Hash":""}}   each anchor, in order
//	{"type":"entry","hash":H,"content":{"SessionID":S,"Version":1,…,"Previous":"","Hash":"","Done":false}}                  each version of a session, in order
//	{"type":"head","content":{"Session":S,"Version":V,"Status":…,"Hash":H}}                                                 then what its record says is the newest
//	{"type":"end","content":{"Lines":N,"SHA256":H}}
//
// Sessions come in the order of their ids. The content of an anchor and of an
// entry is, byte for byte, what was hashed: H is the SHA-256 of the content's
// Previous, one newline, and the bytes between `"content":` and the line's last
// brace. Hash and Done are empty in it, because a hash cannot be part of itself
// and because Done changes. The end counts the lines above it and has the SHA-256
// of their bytes, newlines included: it finds accidents; what finds intent are
// the chains, and an anchor's hash kept elsewhere.
package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Genesis is the hash before a session's first entry, and before the first
// anchor.
const Genesis = ""

// Format is the version of the file. It grows when an older reader would
// misread what is written.
const Format = 1

// Promise is how long a stop may take, from when its cause was known to when
// the run was seen over (S2.1).
const Promise = 15 * time.Minute

// Overlap is how late a change may become visible to the anchors. Each looks
// back so far beyond what is covered already; a change that comes later still is
// in none, and is reported as back-dated.
const Overlap = 15 * time.Minute

// Link is the hash of an entry: SHA-256 over the hash before it and the
// entry's content as canonical JSON (Go's field order). The content must not
// contain the hash itself.
func Link(previous string, content any) (string, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("proof: entry cannot be written as JSON: %w", err)
	}
	return hashOver(previous, body), nil
}

// Begin appends what stands before an entry's content in what is hashed. LinkBegun is
// Link for content that was appended to that as canonical JSON.
func Begin(to []byte, previous string) []byte { return append(append(to, previous...), '\n') }

// LinkBegun is the hash of what Begin began.
func LinkBegun(body []byte) string {
	sum := sha256.Sum256(body)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

func hashOver(previous string, content []byte) string {
	var room [2048]byte // an entry, mostly: it is hashed in one piece, without a copy that must be collected
	return LinkBegun(append(Begin(room[:0], previous), content...))
}

// Head names one version of a session. Its hash stands for every version up to
// it.
type Head struct {
	Session string
	Version int64
	Hash    string
}

// Anchor is a moment's word on all chains.
type Anchor struct {
	Seq int64 // 1 for the first
	At  time.Time
	// Until is how far the anchors reach: changes of status that were decided
	// before it are in this anchor or in one before it, but for those that became
	// visible late (Overlap).
	Until    time.Time
	Live     int64 // sessions not ENDED at the time
	Heads    []Head
	Previous string // hash of the anchor before
	Hash     string // of this one, Hash left out
}

// Seal computes the hash over everything but Hash.
func (a Anchor) Seal() (string, error) {
	a.Hash = ""
	return Link(a.Previous, a)
}
