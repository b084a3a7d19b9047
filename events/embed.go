// Package events is the wire: one folder per kind of event, with its JSON
// Schema (draft 2020-12), samples that must be accepted and, in bad/, events
// that must be rejected, each named by its fault. It knows shapes only; what an
// event means is inbound's to say, and what is said outside is outbound's.
package events

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed */*.json */bad/*.json
var files embed.FS

// File is one JSON document: its name without folder and ".json", and its bytes.
type File struct {
	Name string
	Body []byte
}

// Kinds lists the kinds of events, both directions, in alphabetical order.
func Kinds() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil
	}
	kinds := make([]string, len(entries))
	for i, entry := range entries {
		kinds[i] = entry.Name()
	}
	return kinds
}

// Outgoing says whether Nightshift sends events of the kind; it receives all
// others.
func Outgoing(kind string) bool {
	return strings.HasPrefix(kind, "session-") || kind == "notice" || kind == "alert" || kind == "orphan-found"
}

// Schema is the kind's JSON Schema of the whole EventBridge event; nil for a
// kind that is none.
func Schema(kind string) []byte {
	body, err := files.ReadFile(path.Join(kind, "schema.json"))
	if err != nil {
		return nil
	}
	return body
}

// Samples are the kind's accepted events.
func Samples(kind string) []File { return read(kind, "schema") }

// Bad are the kind's rejected events, named by their fault.
func Bad(kind string) []File { return read(path.Join(kind, "bad"), "") }

func read(dir, except string) []File {
	names, err := fs.Glob(files, path.Join(dir, "*.json"))
	if err != nil {
		return nil
	}
	var found []File
	for _, n := range names {
		body, err := files.ReadFile(n)
		if short := strings.TrimSuffix(path.Base(n), ".json"); err == nil && short != except {
			found = append(found, File{Name: short, Body: body})
		}
	}
	return found
}
