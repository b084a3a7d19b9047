// Package doctor checks what a session depends on before anyone relies on it
// (S7.2): the switches at all three levels, releases, trust policies, the trail
// and the rules, networks and quotas. It is rules over facts that somebody else
// has read; it calls nothing, reads no clock, and must not know whose API a fact
// came from. One rule is one row of a table: accountRules, clusterRules,
// domainRules, jobRules.
package doctor

import (
	"slices"
	"strings"

	"nightshift/internal/finding"
)

// Fact is something that was read, or why it was not. The zero value was not
// looked at.
type Fact[T any] struct {
	Value T
	Known bool
	Why   string // why it is not known, half a sentence
}

// Read is a fact that is known.
func Read[T any](v T) Fact[T] { return Fact[T]{Value: v, Known: true} }

// Unread is a fact that could not be read, and why.
func Unread[T any](why string) Fact[T] { return Fact[T]{Why: why} }

// Facts are everything that is judged.
type Facts struct {
	Account  *Account // nil: nobody asked about the account
	Clusters []Cluster
	Domains  []Domain
	Jobs     []Job
}

// rule is one row: what must hold of a subject, where that is said, and what has
// to be read to tell.
type rule[S any] struct {
	check string   // stable, for scripts; "": the verdicts bring their own
	says  string   // what must hold
	from  string   // the sentence of the specification, or AWS's page, that says so
	reads []string // IAM actions
	judge func(S) []verdict
}

// verdict is what a rule says of one thing. A name is only of rules that
// judge by another package's checks.
type verdict struct {
	name   string
	result finding.Result
	where  string
	what   string
	fix    string
}

func good(where, what string) verdict {
	return verdict{result: finding.OK, where: where, what: what}
}

func caution(where, what, fix string) verdict {
	return verdict{result: finding.Warning, where: where, what: what, fix: fix}
}

func bad(where, what, fix string) verdict {
	return verdict{result: finding.Failure, where: where, what: what, fix: fix}
}

func untold(where, why, fix string) verdict {
	if why == "" {
		why = "it was not read"
	}
	return verdict{result: finding.Unknown, where: where, what: "It cannot be told: " + why + ".", fix: fix}
}

// grant is the fix where a fact could not be read: for want of a permission, most
// often.
const grant = "Let whoever runs the doctor read it (nightshift doctor --permissions prints the policy), and try again."

// mend is the fix of a fact that is not known, by why it is not.
func mend(why string) string {
	for _, passing := range []string{"got no answer", "was throttled"} {
		if strings.Contains(why, passing) {
			return "Try again; if it stays so, look at the network and the credentials. What must be allowed, nightshift doctor --permissions prints."
		}
	}
	if strings.Contains(why, " answered ") {
		return "Mend what it says. What must be allowed, nightshift doctor --permissions prints."
	}
	return grant
}

// of judges a fact where it is known. name is the check's where its row has none.
func of[T any](where string, f Fact[T], judge func(T) []verdict, name ...string) []verdict {
	if f.Known {
		return judge(f.Value)
	}
	v := untold(where, f.Why, mend(f.Why))
	v.name = strings.Join(name, "")
	return []verdict{v}
}

// already gives the findings of another package's checks as verdicts.
func already(all []finding.Finding) []verdict {
	out := make([]verdict, 0, len(all))
	for _, f := range all {
		out = append(out, verdict{f.Check, f.Result, f.Where, f.What, f.Fix})
	}
	return out
}

// Check judges all facts, subject by subject, in the order of the tables.
func Check(f Facts) []finding.Finding {
	var all []finding.Finding
	if f.Account != nil {
		all = append(all, judged("", *f.Account, accountRules)...)
	}
	for _, c := range f.Clusters {
		all = append(all, judged("cluster "+c.ID, c, clusterRules)...)
	}
	for _, d := range f.Domains {
		all = append(all, judged("domain "+d.ID, d, domainRules)...)
	}
	for _, j := range f.Jobs {
		all = append(all, judged("job "+j.Name, j, jobRules)...)
	}
	return all
}

// judged applies every row of a table to a subject. Where says whose it is.
func judged[S any](subject string, s S, rules []rule[S]) []finding.Finding {
	var all []finding.Finding
	for _, r := range rules {
		for _, v := range r.judge(s) {
			where := v.where
			switch {
			case where == "":
				where = subject
			case subject != "":
				where = subject + ", " + where
			}
			name := r.check
			if v.name != "" {
				name = v.name
			}
			all = append(all, finding.Finding{Check: name, Result: v.result, Where: where, What: v.what, Fix: v.fix})
		}
	}
	return all
}

// Row is a rule as a person reads it.
type Row struct {
	About string   `json:"about"` // account, cluster, domain or job
	Check string   `json:"check"`
	Says  string   `json:"says"`
	From  string   `json:"from"`
	Reads []string `json:"reads"` // IAM actions
}

// Rows lists every rule.
func Rows() []Row {
	return slices.Concat(rows("account", accountRules), rows("cluster", clusterRules), rows("domain", domainRules), rows("job", jobRules))
}

func rows[S any](about string, rules []rule[S]) []Row {
	var all []Row
	for _, r := range rules {
		all = append(all, Row{about, r.check, r.says, r.from, append([]string{}, r.reads...)})
	}
	return all
}

// Actions are the IAM actions that all rules together need; each only reads.
func Actions() []string {
	var all []string
	for _, r := range Rows() {
		all = append(all, r.Reads...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
