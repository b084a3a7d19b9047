package functions

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"nightshift/internal/config"
	"nightshift/internal/fault"
	"nightshift/internal/obs"
	"nightshift/internal/workload"
)

// world is AWS as far as these calls see it: STS, and services that note in whose
// name they were called.
type world struct {
	mu      sync.Mutex
	refuse  bool
	expires time.Time
	taken   []string // roles, and the sessions' names
	calls   []string // what was called, where, in whose name
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = r.ParseForm()
	scope := strings.Split(strings.TrimPrefix(strings.Split(r.Header.Get("Authorization"), ",")[0], "AWS4-HMAC-SHA256 Credential="), "/")
	if role := r.PostForm.Get("RoleArn"); role != "" {
		if w.taken = append(w.taken, role+" "+r.PostForm.Get("RoleSessionName")+" "+scope[0]+" "+scope[2]); w.refuse {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(rw, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error></ErrorResponse>`)
			return
		}
		_, _ = fmt.Fprintf(rw, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>in-%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			strings.Split(role, ":")[4], w.expires.Format(time.RFC3339))
		return
	}
	w.calls = append(w.calls, scope[0]+" "+scope[2]+" "+scope[3])
	_ = json.NewEncoder(rw).Encode(map[string]any{"UserStatus": "ENABLED", "jobRuns": []any{}, "virtualClusters": []any{}})
}

// Each endpoint is called in its own account and Region: ours with our credentials,
// a member's with those of the role there, which are kept; and Identity Center where
// it is (issue 8.6).
func TestMembersAreCalledInTheirOwnName(t *testing.T) {
	w := &world{expires: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}
	server := httptest.NewServer(w)
	defer server.Close()
	const hub, member, far = "emr-containers/123456789012/us-east-1", "emr-containers/210987654321/eu-west-1", "emr-containers/123456789012/us-west-2"
	env := map[string]string{
		config.Region: "us-east-1", config.Account: "123456789012", config.IdentityStoreID: "d-1234567890", config.IdentityAccount: "111122223333", config.IdentityRegion: "eu-central-1",
		config.MemberRole: "arn:aws:iam::<account>:role/nightshift-on-schedule-<region>",
		config.Endpoints:  `[{"endpoint":"` + hub + `"},{"endpoint":"` + member + `"},{"endpoint":"` + far + `"}]`,
	}
	c, err := config.Load(func(v string) string { return env[v] })
	if err != nil {
		t.Fatal(err)
	}
	sdk := aws.Config{Region: c.Region, BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("ours", "secret", "")}
	reach := accountsOf(sdk, "on-schedule", c)
	engines, _, err := endpoints(reach, c, now)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, e := range []string{hub, member, far} {
			if l, err := engines["emr-containers"].List(t.Context(), e); err != nil || !l.Complete {
				t.Fatalf("%s: %+v, %v", e, l, err)
			}
		}
	}
	id := identityOf(reach.At(c.IdentityAccount, c.IdentityRegion), "on-schedule", c, now, obs.NewLogger(t.Output(), 0, "on-schedule"))
	if _, err := id.Status(t.Context(), "544894e8-80c1-707f-60e3-3ba6510dfac1"); err != nil {
		t.Fatal(err)
	}
	const round = "ours us-east-1 emr-containers, in-210987654321 eu-west-1 emr-containers, ours us-west-2 emr-containers, "
	if got := strings.Join(w.calls, ", "); got != round+round+"in-111122223333 eu-central-1 identitystore" {
		t.Errorf("called were %s", got)
	}
	const kept = "arn:aws:iam::210987654321:role/nightshift-on-schedule-eu-west-1 nightshift-on-schedule ours us-east-1, arn:aws:iam::111122223333:role/nightshift-on-schedule-eu-central-1 nightshift-on-schedule ours us-east-1"
	if got := strings.Join(w.taken, ", "); got != kept {
		t.Errorf("taken on were %s\nwant %s", got, kept)
	}

	// A role that may not be taken on is a permission that is missing: said as that,
	// asked for again each time, and no word about the run (S2.6, S1.10).
	w.refuse = true
	engines, _, err = endpoints(accountsOf(sdk, "drain-endpoint", c), c, now)
	if err != nil {
		t.Fatal(err)
	}
	before := len(w.calls)
	run := workload.Run{Engine: workload.EMRContainers, Endpoint: member, ID: "vc1/run1"}
	for range 2 {
		if err := engines["emr-containers"].Stop(t.Context(), run); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "sts:AssumeRole") {
			t.Errorf("stop: %v", err)
		}
	}
	if n := len(w.calls) - before; n != 0 {
		t.Errorf("%d calls were made without the member's credentials", n)
	}
	// Once it may be, it is; and what is over is taken on anew.
	w.refuse, w.expires = false, time.Unix(1e9, 0)
	took := len(w.taken)
	for range 2 {
		if err := engines["emr-containers"].Stop(t.Context(), run); err != nil {
			t.Error(err)
		}
	}
	if n := len(w.taken) - took; n != 2 {
		t.Errorf("credentials that are over were taken %d times, want 2", n)
	}
}
