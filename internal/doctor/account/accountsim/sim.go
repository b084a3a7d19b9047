// Package accountsim plays the part of an AWS account that a doctor looks at:
// Identity Center, its directory, CloudTrail, EventBridge's rules, IAM's roles,
// Lambda's settings, quotas, EMR clusters, Studio domains. It is for the local
// system and for tests: faults are planted by changing what there is, and by
// refusing operations. It speaks the services' protocols and errors; it checks no
// signatures, changes nothing by itself, and must not know who asks.
package accountsim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// World is what there is.
type World struct {
	Region       string // the account's; Identity Center is in HomeRegion
	HomeRegion   string
	Instances    []Instance
	Applications map[string]string // status of background sessions, by ARN
	Stores       map[string]int    // how many users, by the id of the identity store
	Trails       []Trail
	Events       []Event
	Rules        map[string]Rule              // by bus + "/" + name
	Functions    map[string]map[string]string // environment, by name
	Concurrency  int
	Unreserved   int
	Roles        map[string]string // trust policy, by name
	Profiles     map[string]string // ARN of the role, by name
	Quotas       []Quota           // of SageMaker
	Clusters     map[string]Cluster
	Security     map[string]string // EMR's security configurations, by name
	Domains      map[string]Domain
}

// Instance is one of Identity Center.
type Instance struct{ InstanceArn, IdentityStoreId, OwnerAccountId, Status, StatusReason string } //nolint:revive,stylecheck // the names are AWS's

// Trail is one of CloudTrail's.
type Trail struct {
	TrailARN, Name, HomeRegion string
	IsMultiRegionTrail         bool
	IsLogging                  bool
	LatestDeliveryError        string
	ReadWriteType              string // "" is no management events
	Advanced                   []map[string]any
}

// Event is one in CloudTrail's history, the newest first.
type Event struct {
	EventName, EventSource string
	EventTime              int64 // seconds since 1970
}

// Rule is one of EventBridge's.
type Rule struct {
	State, Pattern string
	Targets        int
}

// Quota is one of Service Quotas.
type Quota struct {
	QuotaName string
	Value     float64
}

// Cluster is one of EMR on EC2.
type Cluster struct {
	State, ReleaseLabel, SecurityConfiguration, Profile string
	Fleet                                               bool
	Masters                                             int
	Bootstraps                                          []string
	Configurations                                      []map[string]any
	Tags                                                map[string]string
}

// Domain is one of SageMaker Studio.
type Domain struct {
	Status, AuthMode, Application, ExecutionRole string
	Propagation                                  string // ENABLED or DISABLED; "" where it was never set
	Remote                                       map[string]string
}

// Sim answers of one account. Use New.
type Sim struct {
	mu      sync.Mutex
	world   World
	refused map[string]refusal
	calls   map[string]int
}

// New gives a simulator of what there is.
func New(w World) *Sim { return &Sim{world: w, refused: map[string]refusal{}, calls: map[string]int{}} }

// Change changes what there is.
func (s *Sim) Change(how func(*World)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(&s.world)
}

// Refuse answers what needs an IAM action with an error; code "" allows it again.
func (s *Sim) Refuse(action string, status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[action] = refusal{status, code, "User: arn:aws:iam::123456789012:user/doctor is not authorized to perform this, or it was planted"}
}

// Called says how often each IAM action was needed.
func (s *Sim) Called() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// refusal is how a service says no.
type refusal struct {
	status  int
	code    string
	message string
}

func no(code, format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// operation answers one call; region is the one that the request is signed for.
type operation func(w *World, region string, body []byte) (any, *refusal)

// typed makes an operation of one that takes the request's shape.
func typed[In any](do func(w *World, region string, in In) (any, *refusal)) operation {
	return func(w *World, region string, body []byte) (any, *refusal) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, no("SerializationException", "%v", err)
		}
		return do(w, region, in)
	}
}

// operations are those of the services that are told by X-Amz-Target.
var operations = map[string]operation{
	"SWBExternalService.ListInstances":                      typed(listInstances),
	"SWBExternalService.GetApplicationSessionConfiguration": typed(getApplicationSession),
	"AWSIdentityStore.ListUsers":                            typed(listUsers),
	"CloudTrail_20131101.DescribeTrails":                    typed(describeTrails),
	"CloudTrail_20131101.GetTrailStatus":                    typed(getTrailStatus),
	"CloudTrail_20131101.GetEventSelectors":                 typed(getEventSelectors),
	"CloudTrail_20131101.LookupEvents":                      typed(lookupEvents),
	"AWSEvents.DescribeRule":                                typed(describeRule),
	"AWSEvents.ListTargetsByRule":                           typed(listTargets),
	"ServiceQuotasV20190624.ListServiceQuotas":              typed(listQuotas),
	"ElasticMapReduce.DescribeCluster":                      typed(describeCluster),
	"ElasticMapReduce.DescribeSecurityConfiguration":        typed(describeSecurity),
	"ElasticMapReduce.ListBootstrapActions":                 typed(listBootstraps),
	"ElasticMapReduce.ListInstances":                        typed(listClusterInstances),
	"SageMaker.DescribeDomain":                              typed(describeDomain),
	"SageMaker.ListDomains":                                 typed(listDomains),
	"SageMaker.ListSpaces":                                  typed(listSpaces),
}

// prefixes are how IAM calls the services that targets name.
var prefixes = map[string]string{
	"SWBExternalService": "sso", "AWSIdentityStore": "identitystore", "CloudTrail_20131101": "cloudtrail", "AWSEvents": "events",
	"ServiceQuotasV20190624": "servicequotas", "ElasticMapReduce": "elasticmapreduce", "SageMaker": "sagemaker",
}

// queries are IAM's, told by Action.
var queries = map[string]func(*World, url.Values) (any, *refusal){
	"GetRole":            getRole,
	"GetInstanceProfile": getProfile,
}

// Lambda's paths; some SDKs leave the last slash of the second out.
const (
	LambdaFunctions = "/2015-03-31/functions/"
	LambdaAccount   = "/2016-08-19/account-settings/"
)

// targetOf is the target of a request, as the SDK for Go writes it; others write
// CloudTrail's with more before it.
func targetOf(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "com.amazonaws.cloudtrail.v20131101.")
}

// actionOf names a request by the IAM action that it needs; "" is none of ours. It
// reads the form of a request that has one, and leaves the body to be read again.
func actionOf(r *http.Request) string {
	target := targetOf(r)
	switch {
	case operations[target] != nil:
		service, name, _ := strings.Cut(target, ".")
		return prefixes[service] + ":" + name
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, LambdaFunctions) && strings.HasSuffix(r.URL.Path, "/configuration"):
		return "lambda:GetFunctionConfiguration"
	case r.Method == http.MethodGet && r.URL.Path == LambdaAccount, r.Method == http.MethodGet && r.URL.Path+"/" == LambdaAccount:
		return "lambda:GetAccountSettings"
	case target == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		form, err := url.ParseQuery(string(peek(r)))
		if action := form.Get("Action"); err == nil && queries[action] != nil {
			return "iam:" + action
		}
	}
	return ""
}

// peek reads a body and puts it back. One that breaks off is read as far as it
// goes, and is then no request.
func peek(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// Serves says whether a request is one of ours. A cluster that is not ours may be
// another simulator's.
func (s *Sim) Serves(r *http.Request) bool {
	action := actionOf(r)
	if action != "elasticmapreduce:DescribeCluster" {
		return action != ""
	}
	var in ofCluster
	_ = json.Unmarshal(peek(r), &in) // what is no JSON names no cluster
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ours := s.world.Clusters[in.ClusterId]
	return ours
}

// ServeHTTP answers one request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Nightshift-Simulated", "true")
	action, body := actionOf(r), peek(r)
	if action == "" {
		answer(w, nil, no("UnknownOperationException", "there is no such operation here"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[action]++
	query, isQuery := strings.CutPrefix(action, "iam:")
	var out any
	var not *refusal
	switch planted := s.refused[action]; {
	case planted.code != "":
		not = &planted
	case isQuery:
		form, _ := url.ParseQuery(string(body)) // actionOf has read it
		out, not = queries[query](&s.world, form)
	case action == "lambda:GetAccountSettings":
		out = map[string]any{"AccountLimit": map[string]any{"ConcurrentExecutions": s.world.Concurrency, "UnreservedConcurrentExecutions": s.world.Unreserved}}
	case action == "lambda:GetFunctionConfiguration":
		out, not = getFunction(&s.world, strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, LambdaFunctions), "/configuration"))
	default:
		out, not = operations[targetOf(r)](&s.world, regionOf(r), body)
	}
	if isQuery {
		answerQuery(w, out, not)
		return
	}
	answer(w, out, not)
}

// regionOf is the Region that a request is signed for; "" where it is not signed.
func regionOf(r *http.Request) string {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if parts := strings.Split(scope, "/"); len(parts) > 2 {
		return parts[2]
	}
	return ""
}

func answer(w http.ResponseWriter, out any, not *refusal) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if not != nil {
		w.Header().Set("X-Amzn-Errortype", not.code)
		w.WriteHeader(not.status)
		out = map[string]string{"__type": not.code, "message": not.message, "Message": not.message}
	}
	_ = json.NewEncoder(w).Encode(out) // the caller has gone; there is nobody to tell
}

type queryError struct {
	XMLName xml.Name `xml:"https://iam.amazonaws.com/doc/2010-05-08/ ErrorResponse"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

func answerQuery(w http.ResponseWriter, out any, not *refusal) {
	w.Header().Set("Content-Type", "text/xml")
	if not != nil {
		w.WriteHeader(not.status)
		out = queryError{Type: "Sender", Code: not.code, Message: not.message}
	}
	_ = xml.NewEncoder(w).Encode(out) // the caller has gone; there is nobody to tell
}
