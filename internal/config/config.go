// Package config reads a function's environment into a struct and says which
// function needs which variable, so that whoever deploys sets exactly those. It
// knows names, forms and what is wired to what; it must not know AWS clients,
// files or the process's own environment, which is handed in.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The variables. Region is set by Lambda itself and cannot be set by a
// deployment; all others are set by it.
const (
	Region          = "AWS_REGION"                   // where the function and what it manages are
	Account         = "NIGHTSHIFT_ACCOUNT"           // the account that the function and what it manages are in
	Table           = "NIGHTSHIFT_TABLE"             // name of the DynamoDB table
	Bus             = "NIGHTSHIFT_BUS"               // name or ARN of Nightshift's own event bus
	WatchMachine    = "NIGHTSHIFT_WATCH_MACHINE_ARN" // state machine watch
	DrainMachine    = "NIGHTSHIFT_DRAIN_MACHINE_ARN" // state machine drain
	RunMachine      = "NIGHTSHIFT_RUN_MACHINE_ARN"   // state machine run
	MoveMachine     = "NIGHTSHIFT_MOVE_MACHINE_ARN"  // state machine move-notebook
	IdentityStoreID = "NIGHTSHIFT_IDENTITY_STORE_ID" // d-…, of Identity Center
	IdentityRegion  = "NIGHTSHIFT_IDENTITY_REGION"   // Identity Center's region; optional: the function's own
	// The account in whose name Identity Center is asked; optional: the function's own.
	IdentityAccount = "NIGHTSHIFT_IDENTITY_ACCOUNT"
	// ARN of the role that the function takes on in other accounts, with "<account>" and
	// "<region>" where theirs stand; optional: all it manages is in its own.
	MemberRole  = "NIGHTSHIFT_MEMBER_ROLE_ARN"
	Endpoints   = "NIGHTSHIFT_ENDPOINTS"    // JSON list of the endpoints and their facts
	LogLevel    = "NIGHTSHIFT_LOG_LEVEL"    // debug, info, warn or error; optional: info
	FactsAge    = "NIGHTSHIFT_FACTS_AGE"    // how old an application's setting may be believed where it cannot be read; optional: 5m
	SessionsURL = "NIGHTSHIFT_SESSIONS_URL" // HTTPS endpoint that lists live portal sessions; optional: there is none
	// ARN of the secret whose text is the bearer token for it; optional: none. The
	// token itself is no variable: those are shown to everyone who may read the
	// function's settings.
	SessionsTokenSecret = "NIGHTSHIFT_SESSIONS_TOKEN_SECRET" //nolint:gosec // names a secret, and is none

	ConsoleUserClaim      = "NIGHTSHIFT_CONSOLE_USER_CLAIM"     // claim of a token that holds the user's id in the identity store; optional: sub
	ConsoleGroupsClaim    = "NIGHTSHIFT_CONSOLE_GROUPS_CLAIM"   // claim of a token that lists its groups; optional: none
	ConsoleAdministrators = "NIGHTSHIFT_CONSOLE_ADMINISTRATORS" // JSON list of groups of tokens, and of ARNs of IAM roles and users; optional: nobody
	ConsoleIssuer         = "NIGHTSHIFT_CONSOLE_ISSUER"         // OpenID Connect issuer of those tokens; optional: none
	ConsoleAudience       = "NIGHTSHIFT_CONSOLE_AUDIENCE"       // for whom those tokens are made; optional: none
	ConsoleClientID       = "NIGHTSHIFT_CONSOLE_CLIENT_ID"      // what the page is registered as at the issuer; optional: readers paste a token
)

// Variables lists every variable that a deployment may set.
func Variables() []string {
	return []string{Account, Table, Bus, WatchMachine, DrainMachine, RunMachine, MoveMachine, IdentityStoreID, IdentityRegion, IdentityAccount, MemberRole, Endpoints, LogLevel, FactsAge, SessionsURL, SessionsTokenSecret,
		ConsoleUserClaim, ConsoleGroupsClaim, ConsoleAdministrators, ConsoleIssuer, ConsoleAudience, ConsoleClientID}
}

// needs says which variables each function must have, besides Region. A
// function is given these and its optional ones, nothing else. What a function
// does not need follows from its use cases: events only write facts, whose
// consequences the stream and the sweep carry out, so that only those start
// executions; engines are called by the sweep and by steps of state machines.
var needs = map[string][]string{
	"on-logout":        {Table},
	"on-revocation":    {Table, IdentityStoreID, Endpoints},
	"on-schedule":      {Account, Table, Bus, WatchMachine, DrainMachine, RunMachine, MoveMachine, IdentityStoreID, Endpoints},
	"on-run-event":     {Table, IdentityStoreID, Endpoints},
	"open-session":     {Table, Endpoints},
	"start-run":        {Account, Table, Endpoints},
	"observe-endpoint": {Account, Table, Bus, WatchMachine, IdentityStoreID, Endpoints},
	"drain-endpoint":   {Account, Table, DrainMachine, Endpoints},
	"run-effects":      {Table, Bus, WatchMachine, DrainMachine, RunMachine},
	"console":          {Account, Table, Endpoints, RunMachine},
	"restart-session":  {Table, RunMachine},
	"move-notebook":    {Account, Table, Bus, Endpoints, RunMachine, MoveMachine},
	"preflight":        {Account, Table, Endpoints},
	"repair":           {Account, Table, Bus, WatchMachine, DrainMachine, RunMachine, IdentityStoreID, Endpoints},
}

// options says which optional variables a function is given where they are
// chosen, besides IdentityRegion and LogLevel, which all are given: those that
// open sessions read an application's setting, and only the sweep asks the
// session source. Who makes clients of endpoints must know which of them are another
// account's, and so which is its own. The two behind the API for people tell callers apart.
var options = map[string][]string{
	"on-revocation":    {Account, IdentityAccount, MemberRole},
	"on-schedule":      {FactsAge, IdentityAccount, MemberRole, SessionsURL, SessionsTokenSecret},
	"on-run-event":     {Account, FactsAge, IdentityAccount, MemberRole},
	"open-session":     {Account, FactsAge, IdentityAccount, MemberRole},
	"start-run":        {MemberRole},
	"observe-endpoint": {FactsAge, IdentityAccount, MemberRole},
	"drain-endpoint":   {MemberRole},
	"move-notebook":    {MemberRole},
	"preflight":        {MemberRole},
	"console":          {MemberRole, ConsoleUserClaim, ConsoleGroupsClaim, ConsoleAdministrators, ConsoleIssuer, ConsoleAudience, ConsoleClientID},
	"repair":           {FactsAge, IdentityAccount, MemberRole, ConsoleUserClaim, ConsoleGroupsClaim, ConsoleAdministrators},
}

// Optional lists the variables that a function is given where they are chosen,
// sorted.
func Optional(function string) []string {
	list := append([]string{IdentityRegion, LogLevel}, options[function]...)
	slices.Sort(list)
	return list
}

// For lists the variables that a function needs, sorted; nil for a name that is
// no function. The name is the folder below functions/.
func For(function string) []string {
	list := slices.Clone(needs[function])
	slices.Sort(list)
	return list
}

// Functions lists the functions that For knows, sorted.
func Functions() []string {
	list := make([]string, 0, len(needs))
	for f := range needs {
		list = append(list, f)
	}
	slices.Sort(list)
	return list
}

// Config is what the environment says. What was not set is zero, but for the
// optional ones.
type Config struct {
	Region          string
	Account         string
	Table           string
	Bus             string
	WatchMachine    string
	DrainMachine    string
	RunMachine      string
	MoveMachine     string
	IdentityStoreID string
	IdentityRegion  string
	IdentityAccount string // "": the function's own
	MemberRole      string // "": no other account is managed
	Endpoints       []Endpoint
	LogLevel        slog.Level
	FactsAge        time.Duration // 0: the default
	SessionsURL     string        // "": there is no session source

	SessionsTokenSecret string // ARN; "": the source asks for no token

	ConsoleUserClaim      string
	ConsoleGroupsClaim    string
	ConsoleAdministrators []string // groups, and ARNs of IAM roles and users
	ConsoleIssuer         string
	ConsoleAudience       string
	ConsoleClientID       string
}

// Load reads the environment. Every variable that is set is checked; needed
// ones (For) and Region must be set. The error joins all faults, each a
// sentence that names the variable and what is allowed there.
func Load(getenv func(string) string, needed ...string) (Config, error) {
	r := &reader{getenv: getenv, needed: needed}
	c := Config{
		Region:          r.text(Region, regionForm, `a region such as "us-east-1"`),
		Account:         r.text(Account, accountForm, "an account id of 12 digits"),
		Table:           r.text(Table, tableForm, "a table name: 3 to 255 letters, digits, '_', '-' and '.'"),
		Bus:             r.text(Bus, busForm, "the name or the ARN of an event bus"),
		WatchMachine:    r.text(WatchMachine, machineForm, "the ARN of a state machine, arn:aws:states:<region>:<account>:stateMachine:<name>"),
		DrainMachine:    r.text(DrainMachine, machineForm, "the ARN of a state machine, arn:aws:states:<region>:<account>:stateMachine:<name>"),
		RunMachine:      r.text(RunMachine, machineForm, "the ARN of a state machine, arn:aws:states:<region>:<account>:stateMachine:<name>"),
		MoveMachine:     r.text(MoveMachine, machineForm, "the ARN of a state machine, arn:aws:states:<region>:<account>:stateMachine:<name>"),
		IdentityStoreID: r.text(IdentityStoreID, storeForm, "the id of an identity store: d- and 10 letters or digits, or a UUID"),
		IdentityRegion:  r.text(IdentityRegion, regionForm, `a region such as "us-east-1"`),
		IdentityAccount: r.text(IdentityAccount, accountForm, "an account id of 12 digits"),
		MemberRole:      r.text(MemberRole, memberRoleForm, "the ARN of a role, arn:aws:iam::<account>:role/<name>-<region>, with <account> and <region> as they stand here"),
		LogLevel:        r.level(),
		FactsAge:        r.age(),
		SessionsURL:     r.sessionsURL(),

		SessionsTokenSecret: r.tokenSecret(),
	}
	r.console(&c)
	if c.IdentityRegion == "" {
		c.IdentityRegion = c.Region
	}
	own := c.Account
	if c.MemberRole != "" {
		if own == "" {
			r.failf(Account, "is not set, and %s is; it must be an account id of 12 digits.", MemberRole)
		}
		own = "" // endpoints may be any member's
	}
	c.Endpoints = r.endpoints(own)
	return c, errors.Join(r.faults...)
}

var (
	regionForm  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`)
	accountForm = regexp.MustCompile(`^\d{12}$`)
	tableForm   = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	busForm     = regexp.MustCompile(`^(arn:aws[a-z-]*:events:[a-z0-9-]+:\d{12}:event-bus/)?[A-Za-z0-9/_.-]{1,256}$`)
	machineForm = regexp.MustCompile(`^arn:aws[a-z-]*:states:[a-z0-9-]+:\d{12}:stateMachine:[A-Za-z0-9_-]{1,80}$`)
	// IAM takes names of 64 characters; the place's are put in.
	memberRoleForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::<account>:role/[\w+=,.@-]{1,50}-<region>$`)
	storeForm      = regexp.MustCompile(`^(d-[0-9a-z]{10}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
)

// secretForm is a secret's whole ARN, which ends in six characters that Secrets
// Manager adds to its name: a permission is of one secret, to the letter.
var secretForm = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,505}-[A-Za-z0-9]{6}$`)

// tokenForm is RFC 6750's b64token.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// BearerToken says whether a text can be sent as a bearer token.
func BearerToken(text string) bool { return tokenForm.MatchString(text) }

// The bounds of FactsAge: below, each answer would be asked for again; above, a
// switch that was turned would be believed too long.
const factsAgeMin, factsAgeMax = time.Minute, time.Hour

func (r *reader) age() time.Duration {
	const allowed = "a duration from 1m to 1h"
	v := r.value(FactsAge, allowed)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < factsAgeMin || d > factsAgeMax {
		r.failf(FactsAge, "is %q; it must be %s.", v, allowed)
		return 0
	}
	return d
}

func (r *reader) sessionsURL() string {
	const allowed = `the address of an HTTPS endpoint without user name and password, such as "https://portal.example.com/sessions"`
	v := r.value(SessionsURL, allowed)
	if v == "" {
		return ""
	}
	if u, err := url.Parse(v); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		r.failf(SessionsURL, "is not usable; it must be %s.", allowed) // it may have a password in it
		return ""
	}
	return v
}

// tokenSecret does not repeat what it refuses: somebody may have put the token
// there.
func (r *reader) tokenSecret() string {
	const allowed = "the ARN of a secret, arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>"
	v := r.value(SessionsTokenSecret, allowed)
	if v != "" && !secretForm.MatchString(v) {
		r.failf(SessionsTokenSecret, "is not usable; it must be %s.", allowed)
		return ""
	}
	return v
}

// reader collects faults instead of stopping at the first.
type reader struct {
	getenv func(string) string
	needed []string
	faults []error
}

func (r *reader) failf(variable, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s %s", variable, fmt.Sprintf(format, args...)))
}

// value reads a variable; "" with a fault where it is needed and not set.
func (r *reader) value(variable, allowed string) string {
	v := strings.TrimSpace(r.getenv(variable))
	if v == "" && (variable == Region || slices.Contains(r.needed, variable)) {
		r.failf(variable, "is not set; it must be %s.", allowed)
	}
	return v
}

func (r *reader) text(variable string, form *regexp.Regexp, allowed string) string {
	v := r.value(variable, allowed)
	if v != "" && !form.MatchString(v) {
		r.failf(variable, "is %q; it must be %s.", v, allowed)
		return ""
	}
	return v
}

func (r *reader) level() slog.Level {
	switch v := r.value(LogLevel, "debug, info, warn or error"); v {
	case "debug":
		return slog.LevelDebug
	case "", "info":
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		r.failf(LogLevel, "is %q; it must be debug, info, warn or error.", v)
	}
	return slog.LevelInfo
}
