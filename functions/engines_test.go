package functions

import (
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"nightshift/internal/app"
	"nightshift/internal/config"
	"nightshift/internal/engine/emrnotebook/emrnotebooksim"
	"nightshift/internal/engine/enginetest"
	"nightshift/internal/engine/livy/livysim"
	"nightshift/internal/workload"
)

// The engines as they are wired, against servers that ask for what the real ones
// ask for: a certificate's authority, credentials that EMR gives.
func TestEnginesAsWired(t *testing.T) {
	clock := enginetest.Clock(t)
	emr := emrnotebooksim.New(clock, emrnotebooksim.Config{Account: "123456789012", Region: "us-east-1",
		Clusters: []emrnotebooksim.Cluster{{ID: "j-1", SecurityConfiguration: "runtime-roles"}}})
	api := httptest.NewServer(emr)
	defer api.Close()
	sim := livysim.New(clock, livysim.Config{Credentials: func(user, password string) bool { return emr.Accepts("j-1", user, password) }})
	server := httptest.NewTLSServer(sim)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	sdk := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(api.URL), Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}
	load := func(livy map[string]string) (map[string]app.Engine, error) {
		t.Helper()
		for k, v := range map[string]string{"endpoint": "livy/j-1", "url": server.URL, "executionRoleArn": "arn:aws:iam::123456789012:role/x", "livyDoAs": "supervisor"} {
			livy[k] = v
		}
		list, err := json.Marshal([]map[string]string{livy, {"endpoint": "emr-notebook/123456789012/us-east-1"}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(func(v string) string {
			return map[string]string{config.Region: "us-east-1", config.Endpoints: string(list)}[v]
		})
		if err != nil {
			t.Fatal(err)
		}
		engines, _, err := endpoints(accountsOf(sdk, "drain-endpoint", c), c, clock.Now)
		return engines, err
	}
	for _, livy := range []map[string]string{{"livyCAFile": file}, {"livyCA": string(authority)}} {
		engines, err := load(livy)
		if err != nil {
			t.Fatal(err)
		}
		run, err := engines["livy"].Start(t.Context(), app.Start{SessionID: "s-1", Run: workload.Run{Endpoint: "livy/j-1", Kind: workload.LivySession}, Spec: []byte(`{"kind":"spark"}`)})
		if err != nil || run.ID != "name/ns-s-1" {
			t.Errorf("livy answers %+v, %v", run, err)
		}
		if l, err := engines["emr-notebook"].List(t.Context(), "emr-notebook/123456789012/us-east-1"); err != nil || !l.Complete {
			t.Errorf("emr-notebook answers %+v, %v", l, err)
		}
	}
	if sim.DoAs("supervisor") == 0 || sim.DoAs("") != 0 || len(sim.Runs()) != 1 {
		t.Errorf("livy saw %d requests of the supervisor's and %d of nobody's, and has %d sessions", sim.DoAs("supervisor"), sim.DoAs(""), len(sim.Runs()))
	}
	engines, err := load(map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engines["livy"].List(t.Context(), "livy/j-1"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for answers %v", err)
	}
	if _, err := load(map[string]string{"livyCAFile": file + "x"}); err == nil || !strings.Contains(err.Error(), "livy/j-1: livyCAFile: ") {
		t.Errorf("a file that is not there answers %v", err)
	}
}
