// Package proof chains a session's history entries by hash, so that a changed,
// dropped or reordered entry shows. It knows bytes and hashes, nothing else.
package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Genesis is the hash before a session's first entry.
const Genesis = ""

// Link is the hash of an entry: SHA-256 over the hash before it and the
// entry's content as canonical JSON (Go's field order). The content must not
// contain the hash itself.
func Link(previous string, content any) (string, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("proof: entry cannot be written as JSON: %w", err)
	}
	h := sha256.New()
	h.Write([]byte(previous))
	h.Write([]byte{'\n'})
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)), nil
}
