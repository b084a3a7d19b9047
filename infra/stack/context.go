package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nightshift/internal/config"
)

// Settings are what a deployment chooses, read from context keys.
type Settings struct {
	Name             string // of the stack, and the beginning of its resources' names
	Retention        int    // days that logs are kept
	IdentityStore    string
	IdentityAccount  string            // "" is the stack's own
	Endpoints        []config.Endpoint // what is tended
	EndpointsJSON    string            // the same, as the functions read it
	JobRoles         []string          // roles that runs may be started with
	PortalPrincipals []string          // roles and users that may say sign-out on our bus
	LivySubnets      []string
	LivyGroups       []string // security groups
	AlarmEmail       string   // "" is nobody
	NoticeEmail      string   // "" is nobody
	CustomerKey      bool     // encrypt the table with a key of its own
	Tracing          bool
	ConsoleIssuer    string // of tokens; "" is none
	ConsoleAudience  string
	FunctionsDir     string // holds <function>/bootstrap
	Architecture     string // of the functions: arm64 or x86_64
	Deletable        bool   // without termination protection
	Network          networkSettings
	Cluster          clusterSettings
	NotebookPolicies bool // make the notebooks' policies
	// NotebookClusterRoles are the roles that move-notebook may make clusters with.
	NotebookClusterRoles []string
	CheckpointLocations  []string // in S3, where runs keep their checkpoints
	memberSettings
	// Chosen are the values of the functions' optional variables; one that is not
	// here has the functions' default, or is each function's own.
	Chosen map[string]string
}

// Key is one context key, for the README and for a refusal.
type Key struct{ Name, Default, Allowed, What string }

// SampleIdentityStore stands where no identity store is given, so that the
// template can be made and looked at without one. It cannot be deployed.
const SampleIdentityStore = "d-0000000000"

// endpointsBytes bounds the list of endpoints: Lambda allows all variables of a
// function together 4 KiB, and the others need some of it.
const endpointsBytes = 3 * 1024

// The days that CloudWatch Logs can keep a log, from a week on: less would lose
// what an incident is explained with.
var retentions = []string{"7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"}

// Keys lists the context keys that Read knows.
func Keys() []Key {
	return slices.Concat([]Key{
		{"stackName", "nightshift", "1 to 30 letters, digits and hyphens, beginning with a letter", "name of the stack, and the beginning of the names of its resources"},
		{"identityStoreId", "none; needed to deploy", "the id of an identity store: d- and 10 letters or digits, or a UUID", "the identity store whose users are looked up"},
		{"identityRegion", "the stack's region", `a region such as "us-east-1"`, "Identity Center's region"},
		{"identityAccount", "the stack's account", "an account id of 12 digits", "Identity Center's account, where it is another: it may then forward its CloudTrail events to this account's default bus"},
		{"endpoints", "[]; needed to deploy", "a JSON list of endpoints", "the endpoints that are tended and what is known of them, as in internal/config/endpoint.go; permissions to look at and stop runs are of these endpoints only"},
		{"jobRoles", "[]", "a JSON list of ARNs of IAM roles", "the roles that the state machine run may start runs with; none: it may start no run of SageMaker, EMR on EKS or EMR Notebooks"},
		{"portalPrincipals", "[]", "a JSON list of ARNs of IAM roles or users", "who may put sign-outs, revocations and the like on Nightshift's bus; nobody else may"},
		{"livySubnets", "[]", "a JSON list of ids of subnets", "where the functions that call Livy run; needed where an endpoint is Livy's. They need a way to AWS's APIs (NAT or endpoints)"},
		{"livySecurityGroups", "[]", "a JSON list of ids of security groups", "of those functions; needed with livySubnets"},
		{"alarmEmail", "nobody", "an e-mail address", "subscribed to the alarms' topic; more subscribers can be added to the topic"},
		{"noticeEmail", "nobody", "an e-mail address", "subscribed to the notices' topic: what people are told before and at the end of a session; more subscribers can be added to the topic"},
		{"factsAge", "5m", "a duration from 1m to 1h", "how old an application's background setting may be believed where it cannot be read; older is unknown, not off"},
		{"sessionsUrl", "none", "the address of an HTTPS endpoint without user name and password", "an endpoint of the portal or identity provider that lists live portal sessions, as internal/identity/sessions.schema.json says; with it a lost sign-out costs a minute"},
		{"sessionsTokenSecret", "none", "the whole ARN of a secret of Secrets Manager, with the six characters at its end", "its text is the bearer token that sessionsUrl asks for; only on-schedule may read it, and reads it anew for each list"},
		{"consoleIssuer", "none", "the address of an OpenID Connect issuer, https and without parameters", "whose tokens the console's page and API believe; none: only requests signed with credentials of AWS are taken, under /iam/"},
		{"consoleAudience", "none", "the audience (client id) of the tokens", "for whom those tokens are made; needed with consoleIssuer"},
		{"consoleClientId", "none", "the client id of the page at the issuer", "with it, people sign in to the page at the issuer (authorization code with PKCE, as a public client; its redirect address is the ConsoleUrl with a / at its end); none: they paste a token. The ID token is taken where this is the audience too, else the access token"},
		{"consoleUserClaim", "sub", "the name of a claim", "claim of a token that holds its user's id in the identity store"},
		{"consoleGroupsClaim", "none", "the name of a claim", "claim of a token that lists its groups; they must be groups that only administrators can make"},
		{"consoleAdministrators", "nobody", "a JSON list of groups of tokens, each one word, and of ARNs of IAM roles and users", "who sees and ends everybody's sessions; with a token everyone else sees their own, and with a signature nobody else sees anything"},
		{"retentionDays", "90", strings.Join(retentions, ", "), "days that logs are kept"},
		{"logLevel", "info", "debug, info, warn or error", "of the functions' logs"},
		{"customerKey", "false", "true or false", "encrypt the table with a KMS key of its own instead of DynamoDB's"},
		{"tracing", "false", "true or false", "X-Ray tracing of functions and state machines"},
		{"functionsDir", "../.build/functions", "a folder with <function>/bootstrap for each function; `make build` makes it", "where the built functions are, from infra/"},
		{"architecture", "arm64", "arm64 or x86_64", "the processor that the functions are built for: `make build ARCH=amd64` for x86_64"},
		{"terminationProtection", "true", "true or false", "whether CloudFormation refuses to delete the stack"},
		{"deploying", "false", "true or false", "set by `make deploy`: refuse what can be synthesized but not used"},
	}, memberKeys(), networkKeys(), clusterKeys(), notebookKeys(), checkpointKeys())
}

var (
	nameForm      = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,29}$`)
	accountForm   = regexp.MustCompile(`^\d{12}$`)
	roleForm      = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$`)
	principalForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]{1,512}$`)
	subnetForm    = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
	groupForm     = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
	emailForm     = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

// Read makes settings of the app's context. Its error joins all faults, each a
// sentence that names the key and what is allowed there. Keys of the CDK itself
// have a slash or a colon in them and are left alone; any other that is not
// ours is a fault, for it is most likely one of ours misspelt.
func Read(context map[string]any) (Settings, error) {
	r := &reader{context: context, keys: map[string]Key{}}
	for _, k := range Keys() {
		r.keys[k.Name] = k
	}
	for _, name := range slices.Sorted(maps.Keys(context)) {
		if _, ours := r.keys[name]; !ours && !strings.ContainsAny(name, "/:") {
			r.faults = append(r.faults, fmt.Errorf("%s is no context key of Nightshift; the keys are %s.", name, strings.Join(keyNames(), ", ")))
		}
	}
	s := Settings{
		Name:             r.text("stackName", "nightshift", nameForm),
		IdentityAccount:  r.text("identityAccount", "", accountForm),
		JobRoles:         r.list("jobRoles", roleForm),
		PortalPrincipals: r.list("portalPrincipals", principalForm),
		LivySubnets:      r.list("livySubnets", subnetForm),
		LivyGroups:       r.list("livySecurityGroups", groupForm),
		AlarmEmail:       r.text("alarmEmail", "", emailForm),
		NoticeEmail:      r.text("noticeEmail", "", emailForm),
		CustomerKey:      r.truth("customerKey"),
		Tracing:          r.truth("tracing"),
		FunctionsDir:     r.text("functionsDir", "../.build/functions", nil),
		Architecture:     r.oneOf("architecture", "arm64", []string{"arm64", "x86_64"}),
		Deletable:        r.oneOf("terminationProtection", "true", []string{"true", "false"}) == "false",
	}
	days, _ := strconv.Atoi(r.oneOf("retentionDays", "90", retentions))
	s.Retention = days
	r.identity(&s)
	r.members(&s)
	deploying := r.truth("deploying")
	if deploying && s.IdentityStore == SampleIdentityStore {
		r.refuse("identityStoreId", "is not given")
	}
	if deploying && r.context["endpoints"] == nil {
		r.refuse("endpoints", "is not given")
	}
	r.livy(s)
	r.console(&s)
	r.network(&s)
	r.cluster(&s)
	s.NotebookPolicies = r.truth("notebookPolicies")
	s.NotebookClusterRoles = r.list("notebookClusterRoles", roleForm)
	s.CheckpointLocations = r.list("checkpointLocations", checkpointForm)
	if s.Chosen[config.SessionsTokenSecret] != "" && s.Chosen[config.SessionsURL] == "" {
		r.refuse("sessionsUrl", "is not given, and sessionsTokenSecret is")
	}
	for _, e := range s.Endpoints {
		if !slices.Contains([]string{apiLivy, apiEMRContainers, apiEMRNotebook, apiSageMaker}, e.API) {
			// Better refused than deployed without the permission to stop its runs.
			r.faults = append(r.faults, fmt.Errorf("endpoints has %s; the stack has no permissions for %s (stack/grants.go).", e.ID, e.API))
		}
	}
	return s, errors.Join(r.faults...)
}

func keyNames() []string {
	var names []string
	for _, k := range Keys() {
		names = append(names, k.Name)
	}
	return names
}

// reader collects faults instead of stopping at the first.
type reader struct {
	context map[string]any
	keys    map[string]Key
	faults  []error
}

// refuse adds a sentence; what the key allows is said once, in Keys.
func (r *reader) refuse(key, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s %s; it must be %s.", key, fmt.Sprintf(format, args...), r.keys[key].Allowed))
}

// raw is a key's value as text: the command line gives texts where cdk.json may
// have lists, numbers and truths.
func (r *reader) raw(key string) string {
	switch v := r.context[key].(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			r.refuse(key, "cannot be read")
			return ""
		}
		return string(text)
	}
}

func (r *reader) text(key, otherwise string, form *regexp.Regexp) string {
	v := r.raw(key)
	if v == "" {
		return otherwise
	}
	if form != nil && !form.MatchString(v) {
		r.refuse(key, "is %q", v)
		return otherwise
	}
	return v
}

func (r *reader) oneOf(key, otherwise string, allowed []string) string {
	v := r.raw(key)
	if v == "" {
		return otherwise
	}
	if !slices.Contains(allowed, v) {
		r.refuse(key, "is %q", v)
		return otherwise
	}
	return v
}

func (r *reader) truth(key string) bool {
	return r.oneOf(key, "false", []string{"true", "false"}) == "true"
}

func (r *reader) list(key string, form *regexp.Regexp) []string {
	v := r.raw(key)
	if v == "" {
		return nil
	}
	var items []string
	if err := json.Unmarshal([]byte(v), &items); err != nil {
		r.refuse(key, "is %q", v)
		return nil
	}
	for i, item := range items {
		if !form.MatchString(item) {
			r.refuse(key, "has %q", item)
		}
		if slices.Contains(items[:i], item) {
			r.refuse(key, "has %q twice", item)
		}
	}
	return items
}

// variables are the keys whose values the functions read too, as they stand.
var variables = map[string]string{
	"identityStoreId": config.IdentityStoreID, "identityRegion": config.IdentityRegion,
	"logLevel": config.LogLevel, "endpoints": config.Endpoints,
	"factsAge": config.FactsAge, "sessionsUrl": config.SessionsURL, "sessionsTokenSecret": config.SessionsTokenSecret,
	"consoleUserClaim": config.ConsoleUserClaim, "consoleGroupsClaim": config.ConsoleGroupsClaim, "consoleAdministrators": config.ConsoleAdministrators,
	"consoleIssuer": config.ConsoleIssuer, "consoleAudience": config.ConsoleAudience, "consoleClientId": config.ConsoleClientID,
}

// identity reads what the functions read too, with their own reader, so that
// what is accepted here is accepted there.
func (r *reader) identity(s *Settings) {
	given := map[string]string{"identityStoreId": SampleIdentityStore, "endpoints": "[]"}
	for key := range variables {
		if v := r.raw(key); v != "" {
			given[key] = v
		}
	}
	s.Chosen = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		read, err := config.Load(func(variable string) string {
			if variable == config.Region {
				return "us-east-1" // any: it is not known yet
			}
			switch {
			case variable == variables[key]:
				return given[key]
			case variable == config.ConsoleGroupsClaim && key == "consoleAdministrators": // of which it says the groups
				return given["consoleGroupsClaim"]
			}
			return ""
		})
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				sentence := strings.TrimSpace(line)
				for name, variable := range variables {
					sentence = strings.ReplaceAll(sentence, variable, name)
				}
				r.faults = append(r.faults, errors.New(sentence))
			}
			continue
		}
		switch key {
		case "identityStoreId":
		case "endpoints":
			s.Endpoints = read.Endpoints
		default:
			s.Chosen[variables[key]] = given[key]
		}
	}
	s.IdentityStore = given["identityStoreId"]
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(given["endpoints"])) == nil {
		s.EndpointsJSON = compact.String()
	}
	if n := len(s.EndpointsJSON); n > endpointsBytes {
		r.faults = append(r.faults, fmt.Errorf("endpoints has %d bytes; at most %d are allowed, for Lambda allows a function's variables 4 KiB.", n, endpointsBytes))
	}
}

// livy: a Livy server is reached inside its cluster's VPC only.
func (r *reader) livy(s Settings) {
	needed := slices.ContainsFunc(s.Endpoints, func(e config.Endpoint) bool { return e.API == apiLivy })
	if len(s.LivySubnets) == 0 && (needed || len(s.LivyGroups) > 0) {
		r.refuse("livySubnets", "is not given, and an endpoint is Livy's or livySecurityGroups is given")
	}
	if len(s.LivyGroups) == 0 && (needed || len(s.LivySubnets) > 0) {
		r.refuse("livySecurityGroups", "is not given, and an endpoint is Livy's or livySubnets is given")
	}
}
