package config

import (
	"strings"
	"testing"
)

// FuzzLoad: no environment makes Load panic; it is refused with sentences that
// name their variable, or every endpoint has an id.
func FuzzLoad(f *testing.F) {
	f.Add("us-east-1", "123456789012", `[{"id":"sagemaker/123456789012/us-east-1"}]`, "1h", "https://portal.example/sessions")
	f.Add("eu-west-1", "123456789012", `[{"id":"livy/j-1YONHTCP3YZKC","url":"https://host:8998","facts":{"clusterBackground":"on"},"stopPerSecond":2}]`, "x", "")
	f.Add("", "", `{"id":1}`, "-1s", "://")
	f.Add("us-east-1", "123456789012", `[null,[],{"id":"emr-containers/123456789012/us-east-1","virtualClusters":["vc"]}]`, "9999h", "http://[::1")
	f.Fuzz(func(t *testing.T, region, account, endpoints, age, sessions string) {
		env := map[string]string{Region: region, Account: account, Endpoints: endpoints, FactsAge: age, SessionsURL: sessions}
		c, err := Load(func(name string) string { return env[name] })
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if strings.TrimSpace(line) == "" {
					t.Errorf("an empty sentence in %q", err)
				}
			}
			return
		}
		for _, e := range c.Endpoints {
			if e.ID == "" {
				t.Errorf("an endpoint without an id: %q", endpoints)
			}
		}
	})
}

// FuzzMatches: no pattern and no event make Matches panic, and what CheckPattern
// accepts, Matches can answer.
func FuzzMatches(f *testing.F) {
	for _, r := range Rules() {
		f.Add(r.Pattern, `{"source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{}}`)
	}
	f.Add(`{"a":[{"prefix":"x"},{"exists":false},{"anything-but":["y"]}]}`, `{"a":["x",1,null,{"b":[]}]}`)
	f.Add(`{"a":[[]]}`, `{"a":{}}`)
	f.Add(`{"a":[1]}`, `null`)
	f.Fuzz(func(t *testing.T, pattern, event string) {
		_, err := Matches(pattern, []byte(event))
		_ = CheckPattern(pattern) // what AWS refuses is its own question; it must answer
		if err != nil && err.Error() == "" {
			t.Error("refused without a reason")
		}
	})
}
