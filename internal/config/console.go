package config

import (
	"encoding/json"
	"regexp"
	"strings"
)

var (
	claimForm     = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,128}$`)
	groupForm     = regexp.MustCompile(`^[^\s,\[\]"]{1,256}$`)
	issuerForm    = regexp.MustCompile(`^https://[A-Za-z0-9.-]+(:\d+)?(/[\w.~%/-]*)?$`)
	audienceForm  = regexp.MustCompile(`^[\w.:/@+=-]{1,256}$`)
	principalForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]{1,512}$`)
)

// console reads who is who at the console. A group must be one word: API Gateway
// writes a token's list with spaces between, so that a group of two words could
// pass for two.
func (r *reader) console(c *Config) {
	const claim = `the name of a claim, such as "sub" or "cognito:groups"`
	c.ConsoleUserClaim = r.text(ConsoleUserClaim, claimForm, claim)
	c.ConsoleGroupsClaim = r.text(ConsoleGroupsClaim, claimForm, claim)
	c.ConsoleIssuer = r.text(ConsoleIssuer, issuerForm, "the address of an OpenID Connect issuer, https and without parameters")
	c.ConsoleAudience = r.text(ConsoleAudience, audienceForm, "the audience (client id) of the tokens")
	c.ConsoleClientID = r.text(ConsoleClientID, audienceForm, "the client id of the page at the issuer")
	const allowed = "a JSON list of groups, each one word, and of ARNs of IAM roles and users"
	v := r.value(ConsoleAdministrators, allowed)
	if v == "" {
		return
	}
	if err := json.Unmarshal([]byte(v), &c.ConsoleAdministrators); err != nil {
		r.failf(ConsoleAdministrators, "is %q; it must be %s.", v, allowed)
	}
	for _, a := range c.ConsoleAdministrators {
		form, group := principalForm, !strings.HasPrefix(a, "arn:")
		if group {
			form = groupForm
		}
		if !form.MatchString(a) {
			r.failf(ConsoleAdministrators, "has %q; it must be %s.", a, allowed)
		}
		if group && c.ConsoleGroupsClaim == "" {
			r.failf(ConsoleAdministrators, "has the group %q; %s must then say which claim lists a token's groups.", a, ConsoleGroupsClaim)
		}
	}
}
