package notebook

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// request is one authorization question: on each of its resources the answer
// must be allow.
type request struct {
	action    string
	principal map[string]string // aws:userid, aws:PrincipalTag/…
	sent      map[string]string // tags in the request
	resources []resource
}

type resource struct {
	kind string // editor, cluster, notebook-execution
	tags map[string]string
}

// allows is IAM's evaluation of identity policies: an explicit deny wins, then an
// allow, else it is denied. It knows the operators that our policies use and
// panics at others, so that none is passed over.
func allows(r request, policies ...Policy) bool {
	for _, res := range r.resources {
		allowed := false
		for _, p := range policies {
			for _, s := range p.Statement {
				if !applies(s, r, res) {
					continue
				}
				if s.Effect == "Deny" {
					return false
				}
				allowed = true
			}
		}
		if !allowed {
			return false
		}
	}
	return len(r.resources) > 0
}

func applies(s Statement, r request, res resource) bool {
	arn := "arn:aws:elasticmapreduce:eu-west-1:123456789012:" + res.kind + "/x-1"
	if !slices.ContainsFunc(s.Action, func(a string) bool { return wildcard(strings.ToLower(a), strings.ToLower(r.action)) }) ||
		!slices.ContainsFunc(s.Resource, func(p string) bool { return wildcard(p, arn) }) {
		return false
	}
	context := map[string][]string{}
	for k, v := range r.principal {
		context[strings.ToLower(k)] = []string{v}
	}
	for k, v := range r.sent {
		// The name of a condition key does not mind case; the tag's key in it does.
		context["elasticmapreduce:requesttag/"+k] = []string{v}
		context["aws:tagkeys"] = append(context["aws:tagkeys"], k)
	}
	for k, v := range res.tags {
		context["elasticmapreduce:resourcetag/"+k] = []string{v}
	}
	for operator, keys := range s.Condition {
		for key, want := range keys {
			if !holds(operator, context[folded(key)], want, context) {
				return false
			}
		}
	}
	return true
}

func folded(key string) string {
	name, tag, found := strings.Cut(key, "/")
	if !found {
		return strings.ToLower(key)
	}
	return strings.ToLower(name) + "/" + tag
}

var variable = regexp.MustCompile(`\$\{([^}]+)\}`)

func holds(operator string, have, want []string, context map[string][]string) bool {
	var values []string
	for _, w := range want {
		known := true
		v := variable.ReplaceAllStringFunc(w, func(m string) string {
			name := folded(m[2 : len(m)-1])
			if len(context[name]) == 0 {
				name = strings.ToLower(name)
			}
			if len(context[name]) == 0 {
				known = false // a variable without a value matches nothing
				return ""
			}
			return context[name][0]
		})
		if known {
			values = append(values, v)
		}
	}
	in := func(h string) bool { return slices.Contains(values, h) }
	switch operator {
	case "StringEquals":
		return len(have) > 0 && in(have[0])
	case "StringNotEquals":
		return len(have) == 0 || !in(have[0]) // a missing key counts as not equal
	case "Null":
		return (len(have) == 0) == (want[0] == "true")
	case "ForAnyValue:StringEqualsIgnoreCase":
		return slices.ContainsFunc(have, func(h string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(h, v) })
		})
	}
	panic(fmt.Sprintf("the evaluator does not know %s", operator))
}

func wildcard(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for i, p := range parts[1:] {
		if i == len(parts)-2 {
			return strings.HasSuffix(text, p)
		}
		at := strings.Index(text, p)
		if at < 0 {
			return false
		}
		text = text[at+len(p):]
	}
	return text == ""
}
