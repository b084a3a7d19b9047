package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Place is one Region of one account. The zero value is nowhere.
type Place struct{ Account, Region string }

// PlaceForm says how a place is written.
const PlaceForm = `an account and a Region such as "123456789012/us-east-1"`

// ParsePlace reads a place; ok says whether the text is one.
func ParsePlace(text string) (p Place, ok bool) {
	account, region, _ := strings.Cut(text, "/")
	if !accountForm.MatchString(account) || !regionForm.MatchString(region) {
		return Place{}, false
	}
	return Place{account, region}, true
}

// String writes a place as ParsePlace reads it.
func (p Place) String() string { return p.Account + "/" + p.Region }

// Account is the account that an endpoint's API is called in; "" where nothing
// tells it: a Livy server that is reached without credentials of AWS.
func (e Endpoint) Account() string {
	if e.API == apiLivy {
		if e.Livy.Role == "" {
			return ""
		}
		return strings.Split(e.Livy.Role, ":")[4]
	}
	return strings.Split(e.ID, "/")[1]
}

// In is the place that an endpoint's API is called in, by functions that are in the
// Region home: a Livy server's cluster is in their own, or they could not reach it.
func (e Endpoint) In(home string) Place {
	if e.API == apiLivy {
		return Place{e.Account(), home}
	}
	return Place{e.Account(), e.Region}
}

// Spread says over which places one deployment is spread. The zero value: it is in
// one place, which knows all it needs.
type Spread struct {
	Hub     Place   // where Nightshift itself is
	Members []Place // the other places: where engines are, or Identity Center
	// Identity is the place where Identity Center's events appear and where it is
	// asked; zero: the hub's account.
	Identity Place
	// Owner is the account of Identity Center's instance, where that is another than
	// the one that is asked (its delegated administrator's); "" else.
	Owner string
}

// Rules are the hub's rules: each hears only the accounts that may tell it what it
// listens for, so that an account with engines cannot sign anybody out.
func (s Spread) Rules() []Rule {
	rules := Rules()
	if len(s.Members) == 0 {
		return rules
	}
	for i, r := range rules {
		if !r.OnOwnBus {
			rules[i].Pattern = heard(r.Pattern, s.tellers(r))
		}
	}
	return rules
}

// tellers are the accounts whose events a rule hears.
func (s Spread) tellers(r Rule) []string {
	var all []string
	if r.Identity {
		all = append(all, s.Hub.Account)
		if s.Identity != (Place{}) {
			all[0] = s.Identity.Account
		}
		if s.Owner != "" {
			all = append(all, s.Owner)
		}
	}
	if r.Engines || !r.Identity {
		all = append(all, s.Hub.Account)
	}
	if r.Engines {
		for _, m := range s.Members {
			all = append(all, m.Account)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Forwards are the rules that a member has to tell the hub what happens there, with
// the hub's names: of Identity Center where it is there, of engines where some are.
func (s Spread) Forwards(member Place, engines bool) []Rule {
	var all []Rule
	for _, r := range Rules() {
		if r.Identity && member == s.Identity || r.Engines && engines {
			r.Pattern = heard(r.Pattern, []string{member.Account})
			all = append(all, r)
		}
	}
	return all
}

// Hears says whether a rule's pattern is the wanted one: as it stands, or as a spread
// narrows it to accounts, whichever these are.
func Hears(pattern, want string) bool {
	var got, whole map[string]any
	if json.Unmarshal([]byte(pattern), &got) != nil || json.Unmarshal([]byte(want), &whole) != nil {
		return false
	}
	if accounts, narrowed := got["account"].([]any); narrowed && len(accounts) > 0 && whole["account"] == nil {
		var named []string
		for _, a := range accounts {
			named = append(named, fmt.Sprint(a))
		}
		whole = nil
		_ = json.Unmarshal([]byte(heard(want, named)), &whole) // it has just been written
	}
	return reflect.DeepEqual(got, whole)
}

// heard narrows a pattern to the events of accounts.
func heard(pattern string, accounts []string) string {
	var p map[string]any
	if err := json.Unmarshal([]byte(pattern), &p); err != nil {
		panic(err) // the patterns are constants, and tested
	}
	p["account"] = accounts
	out, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and lists of them
	}
	return string(out)
}
