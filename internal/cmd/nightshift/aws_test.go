package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// account stands for an AWS account: CloudFormation, EventBridge, and the API
// behind API Gateway, which checks signatures and tokens.
type account struct {
	t      *testing.T
	url    string
	outs   string
	mu     sync.Mutex
	asked  []string
	events []string
	dead   map[string]int // messages in dead-letter queues, by name
	moved  []string       // what SQS was asked to move
	denied string         // the action of SQS that is refused
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{t: t}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	a.outs = "<member><OutputKey>ConsoleUrl</OutputKey><OutputValue>" + a.url + "</OutputValue></member>"
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": a.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session", "AWS_REGION": "eu-central-1",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return a
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	a.mu.Unlock()
	switch {
	case r.Header.Get("X-Amz-Target") == "AWSEvents.PutEvents":
		a.mu.Lock()
		a.events = append(a.events, string(body))
		a.mu.Unlock()
		fmt.Fprint(w, `{"FailedEntryCount":0,"Entries":[{"EventId":"event-1"}]}`)
	case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."):
		a.sqs(w, r, body)
	case r.URL.Path == "/":
		a.cloudFormation(w, r, body)
	case strings.HasPrefix(r.URL.Path, "/iam/api/") && a.signed(r, "execute-api", body), r.Header.Get("Authorization") == "Bearer good" && strings.HasPrefix(r.URL.Path, "/api/"):
		w.Header().Set("Nightshift-Time", "2026-11-20T18:00:00Z")
		fmt.Fprint(w, `{"sessions":[],"next":""}`)
	default:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"message":"Forbidden"}`) // as API Gateway says it
	}
}

func (a *account) cloudFormation(w http.ResponseWriter, r *http.Request, body []byte) {
	if !a.signed(r, "cloudformation", body) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>`)
		return
	}
	switch text := string(body); {
	case strings.Contains(text, "StackName=denied"):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>User is not authorized</Message></Error></ErrorResponse>`)
	case !strings.Contains(text, "StackName=nightshift"):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id x does not exist</Message></Error></ErrorResponse>`)
	default:
		fmt.Fprint(w, `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member><Outputs>`+
			`<member><OutputKey>TableName</OutputKey><OutputValue>x</OutputValue></member>`+a.outs+`</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
	}
}

// sqs answers as SQS does in its JSON protocol.
func (a *account) sqs(w http.ResponseWriter, r *http.Request, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var in struct{ QueueName, QueueURL, SourceArn, DestinationArn string }
	action, refuse := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."), func(kind, message string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"message":%q}`, kind, message)
	}
	const arn = "arn:aws:sqs:eu-central-1:123456789012:"
	name := func(of string) string { return of[strings.LastIndexAny(of, "/:")+1:] }
	switch err := json.Unmarshal(body, &in); {
	case err != nil || !a.signed(r, "sqs", body) || r.Header.Get("Content-Type") != "application/x-amz-json-1.0":
		refuse("com.amazon.coral.service#InvalidSignatureException", "the signature does not match")
	case action == a.denied:
		refuse("com.amazon.coral.service#AccessDeniedException", "not authorized to perform: sqs:"+action)
	case action == "GetQueueUrl" && !strings.HasPrefix(in.QueueName, "nightshift-"):
		refuse("com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
	case action == "GetQueueUrl":
		fmt.Fprintf(w, `{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/%s"}`, in.QueueName)
	case action == "GetQueueAttributes":
		fmt.Fprintf(w, `{"Attributes":{"QueueArn":"%s","ApproximateNumberOfMessages":"%d"}}`, arn+name(in.QueueURL), a.dead[name(in.QueueURL)])
	case action == "ListMessageMoveTasks" && slices.ContainsFunc(a.moved, func(m string) bool { return strings.HasPrefix(m, name(in.SourceArn)+" ") }):
		fmt.Fprint(w, `{"Results":[{"Status":"RUNNING"},{"Status":"COMPLETED"}]}`)
	case action == "ListMessageMoveTasks":
		fmt.Fprint(w, `{"Results":[{"Status":"COMPLETED"}]}`)
	case action == "StartMessageMoveTask":
		a.moved = append(a.moved, name(in.SourceArn)+" -> "+name(in.DestinationArn))
		fmt.Fprint(w, `{"TaskHandle":"handle"}`)
	default:
		refuse("com.amazonaws.sqs#UnsupportedOperation", action)
	}
}

// S3.7: what waits in dead-letter queues is sent back to the queues it is behind, by
// whoever may, once they were asked; what is on its way is not sent again.
func TestS3_7DeadLettersAreSentBack(t *testing.T) {
	a := newAccount(t)
	a.dead = map[string]int{"nightshift-on-logout-dead": 2, "nightshift-on-run-event-dead": 1}
	w := &town{t: t}
	wants := func(status int, says, line string) string {
		t.Helper()
		out, said, got := w.runs(fields(line)...)
		if got != status || !strings.Contains(out+said, says) {
			t.Fatalf("%s: status %d, want %d with %q:\n%s%s", line, got, status, says, out, said)
		}
		return out
	}
	for line, says := range map[string]string{
		"parked replay --dead-letters":                                   "a local system has no queues",
		"parked replay --dead-letters --yes":                             "a local system has no queues",
		"parked replay --dead-letters --stack nightshift":                "--yes: nobody can be asked",
		"parked replay --dead-letters --all --stack nightshift --yes":    "give one of the three",
		"parked replay p-1 --dead-letters --stack nightshift --yes":      "give one of the three",
		"parked replay --dead-letters --why x --stack nightshift --yes":  "SQS keeps no reason",
		"parked replay --dead-letters --stack nightshift --as x --yes":   "only a local system",
		"parked replay --dead-letters --local --stack nightshift --yes ": "give one of the two",
	} {
		wants(exitUsage, says, line)
	}
	wants(exitNotFound, "there is no queue night-on-logout-dead", "parked replay --dead-letters --stack night --yes")
	w.in = strings.NewReader("n\n")
	wants(exitRefused, "nothing was sent back", "parked replay --dead-letters --stack nightshift")
	w.in = nil
	a.denied = "StartMessageMoveTask"
	wants(exitRefused, "sqs:StartMessageMoveTask", "parked replay --dead-letters --stack nightshift --yes")
	if len(a.moved) != 0 {
		t.Fatalf("moved: %v", a.moved)
	}
	a.denied = ""
	wants(exitOK, "about 2 events", "parked replay --dead-letters --stack nightshift --yes")
	again := wants(exitOK, `"moving": true`, "parked replay --dead-letters --stack nightshift --yes --json")
	if want := []string{"nightshift-on-logout-dead -> nightshift-on-logout", "nightshift-on-run-event-dead -> nightshift-on-run-event"}; !slices.Equal(a.moved, want) || strings.Count(again, `"queue"`) != 3 {
		t.Errorf("moved %v, want %v\n%s", a.moved, want, again)
	}
}

// signed signs the request again, with what AWS knows, and compares.
func (a *account) signed(r *http.Request, service string, body []byte) bool {
	got := r.Header.Get("Authorization")
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		a.t.Error(err)
		return false
	}
	_, names, _ := strings.Cut(got, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for _, name := range strings.Split(names, ";") {
		if name != "host" && name != "content-length" {
			again.Header.Set(name, r.Header.Get(name))
		}
	}
	again.ContentLength = int64(len(body))
	hash := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "session"}
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(hash[:]), service, "eu-central-1", cliBegan); err != nil {
		a.t.Error(err)
	}
	return got != "" && got == again.Header.Get("Authorization")
}

// The same commands on a deployment: its API is found by the stack, and asked
// with a signature, or with a token.
func TestDeployment(t *testing.T) {
	a := newAccount(t)
	for _, c := range []struct {
		name, line string
		env        map[string]string
		status     int
		says       string
	}{
		{"by the stack, signed", "sessions --stack nightshift", nil, exitOK, "No session is live"},
		{"with a query that has to be signed", `sessions --stack nightshift --endpoint livy/j-1 --due-within 1d12h`, nil, exitOK, "No session fits"},
		{"by its region only", "sessions --region eu-central-1", nil, exitOK, "No session is live"},
		{"by its address, signed", "sessions --api " + a.url, nil, exitOK, "No session is live"},
		{"by its address, with a token", "sessions", map[string]string{"NIGHTSHIFT_API": a.url, "NIGHTSHIFT_TOKEN": "good"}, exitOK, "No session is live"},
		{"by the stack, with a token", "sessions --stack nightshift", map[string]string{"NIGHTSHIFT_TOKEN": "good"}, exitOK, "No session is live"},
		{"with a token that has expired", "sessions", map[string]string{"NIGHTSHIFT_API": a.url, "NIGHTSHIFT_TOKEN": "old"}, exitRefused, "Forbidden"},
		{"no such stack", "sessions --stack other", nil, exitNotFound, `--stack: there is no stack "other" in eu-central-1`},
		{"a stack that may not be read", "sessions --stack denied", nil, exitRefused, "with --api it need not be read"},
		{"another region than its keys are signed for", "sessions --api " + a.url + " --region us-east-1", nil, exitRefused, "Forbidden"},
		{"an address that is no HTTPS", "sessions", map[string]string{"NIGHTSHIFT_API": "http://example.com"}, exitUsage, "NIGHTSHIFT_API: \"http://example.com\" is not allowed"},
		{"a local act on a deployment", "sessions --as u-ana", map[string]string{"NIGHTSHIFT_API": a.url}, exitFailure, "no local system answers"},
		{"no such profile", "sessions --profile nobody", nil, exitUsage, "--profile"},
	} {
		w := &town{t: t, env: c.env}
		out, said, status := w.runs(fields(c.line)...)
		if status != c.status || !strings.Contains(out+said, c.says) || strings.Count(said, "\n") > 1 {
			t.Errorf("%s: status %d, want %d with %q:\n%s%s", c.name, status, c.status, c.says, out, said)
		}
	}
	a.outs = ""
	if _, said, status := (&town{t: t}).runs("sessions", "--stack", "nightshift"); status != exitNotFound || !strings.Contains(said, "no output ConsoleUrl") {
		t.Errorf("a stack without a console: %d %s", status, said)
	}
	if len(a.asked) < 10 {
		t.Errorf("the account was asked %d times", len(a.asked))
	}
}

// An event goes to the stack's own bus; AWS's own are AWS's to send.
func TestS3EventsToADeployment(t *testing.T) {
	a := newAccount(t)
	w := &town{t: t}
	out, said, status := w.runs("events", "send", "nightshift-signed-out/from-a-webhook", "--set", "detail.user=u-ana", "--now", "--stack", "night")
	if status != 0 || !strings.Contains(out, "to the bus night as event-1") {
		t.Fatalf("%d %s%s", status, out, said)
	}
	for _, want := range []string{`"EventBusName":"night"`, `"Source":"nightshift"`, `"DetailType":"Nightshift Signed Out"`, `\"user\":\"u-ana\"`, `\"at\":\"2026-11-20T18:00:00Z\"`} {
		if len(a.events) != 1 || !strings.Contains(a.events[0], want) {
			t.Errorf("%s is not in %v", want, a.events)
		}
	}
	if _, said, status := w.runs("events", "send", samples()[0], "--stack", "night"); status != exitRefused || !strings.Contains(said, "AWS lets nobody but itself") {
		t.Errorf("%s: %d %s", samples()[0], status, said)
	}
}
