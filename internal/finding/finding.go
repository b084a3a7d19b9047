// Package finding is what a check says: what it looked at, what it saw, and how
// to mend it. The doctor, the cluster check and the preflight of a job speak in
// findings; it knows nothing of what is checked.
package finding

import "slices"

// Result is a check's answer, worst last in Results.
type Result string

// The answers. Unknown is what could not be read: it is never shown as ok.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Unknown Result = "unknown"
	Failure Result = "failure"
)

// Results are the answers from best to worst.
func Results() []Result { return []Result{OK, Warning, Unknown, Failure} }

// Finding is one check's answer.
type Finding struct {
	Check  string `json:"check"` // its name, stable, for scripts
	Result Result `json:"result"`
	Where  string `json:"where,omitempty"` // the resource or setting; "" where the check's name says it
	What   string `json:"what"`            // what was seen, a sentence
	Fix    string `json:"fix,omitempty"`   // what to do; "" only for ok
}

// Worst is the worst answer among the findings; Unknown where there are none,
// as nothing was looked at.
func Worst(all []Finding) Result {
	if len(all) == 0 {
		return Unknown
	}
	order := Results()
	worst := 0
	for _, f := range all {
		// An answer that is not in the list sorts as a failure.
		if i := slices.Index(order, f.Result); i < 0 {
			return Failure
		} else if i > worst {
			worst = i
		}
	}
	return order[worst]
}
