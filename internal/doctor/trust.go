package doctor

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"nightshift/internal/session"
)

// Trusts says whether a role's trust policy lets a principal do an action: Off
// where no statement allows it or one denies it, Unknown where only a condition
// that is not known here stands between. The policy is JSON, as IAM answers it
// once its escapes are undone. A principal is a service's name, or the ARN of a
// role.
func Trusts(policy, principal, action string) session.Tri {
	var doc struct{ Statement list[statement] }
	if json.Unmarshal([]byte(policy), &doc) != nil {
		return session.Unknown
	}
	var allowed, perhaps, doubted bool
	for _, s := range doc.Statement {
		if !s.about(principal, action) {
			continue
		}
		switch certain := s.harmless(); {
		case s.Effect == "Deny" && len(s.Condition) == 0 && !s.negated():
			return session.Off
		case s.Effect == "Deny":
			doubted = true
		case certain:
			allowed = true
		default:
			perhaps = true
		}
	}
	switch {
	case allowed && !doubted:
		return session.On
	case allowed, perhaps:
		return session.Unknown
	}
	return session.Off
}

// statement is one of a trust policy. One with NotPrincipal or NotAction may speak of
// anybody, and so is never certain.
type statement struct {
	Effect                  string
	Principal, NotPrincipal json.RawMessage
	Action, NotAction       list[string]
	Condition               map[string]map[string]any
}

// list is a JSON list, or the one element of it by itself, as IAM has it.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(text []byte) error {
	var many []T
	if json.Unmarshal(text, &many) == nil {
		*l = many
		return nil
	}
	var one T
	err := json.Unmarshal(text, &one)
	*l = list[T]{one}
	return err
}

func (s statement) about(principal, action string) bool {
	if s.negated() {
		return true
	}
	return slices.ContainsFunc(s.Action, func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(action)) }) &&
		slices.ContainsFunc(s.principals(), func(p string) bool { return p == "*" || p == principal || p == rootOf(principal) })
}

func (s statement) negated() bool { return len(s.NotPrincipal)+len(s.NotAction) > 0 }

// principals are all that a statement names, of whatever kind.
func (s statement) principals() []string {
	var anybody string
	if json.Unmarshal(s.Principal, &anybody) == nil {
		return []string{anybody}
	}
	var kinds map[string]list[string]
	_ = json.Unmarshal(s.Principal, &kinds) // what is neither names nobody
	var all []string
	for _, k := range kinds {
		all = append(all, k...)
	}
	return all
}

// rootOf is the principal that stands for everybody of a role's account: it lets
// a role in whose own policy allows it.
func rootOf(principal string) string {
	account, _, isRole := strings.Cut(principal, ":role/")
	if !isRole {
		return principal
	}
	return account + ":root"
}

// harmless is whether every condition is one that a service's own call meets:
// those that guard against confused deputies.
func (s statement) harmless() bool {
	if s.negated() {
		return false
	}
	for _, keys := range s.Condition {
		for key := range keys {
			if k := strings.ToLower(key); k != "aws:sourceaccount" && k != "aws:sourcearn" {
				return false
			}
		}
	}
	return true
}

// like matches a pattern of IAM's, whose * also stands for a slash.
func like(pattern, text string) bool {
	hide := strings.NewReplacer("/", "\x00", "[", "\x01", "\\", "\x02")
	ok, err := path.Match(hide.Replace(pattern), hide.Replace(text))
	return ok && err == nil
}
