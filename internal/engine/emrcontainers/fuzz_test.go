package emrcontainers

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// FuzzSpec: no spec makes its reader panic; what it accepts names its virtual
// cluster and leaves our token to us.
func FuzzSpec(f *testing.F) {
	f.Add(spec(1))
	f.Add([]byte(`{"virtualClusterId":1}`))
	f.Add([]byte(`{"virtualClusterId":"vc","clientToken":"x"} {}`))
	f.Add([]byte(`{"virtualClusterId":"vc","jobDriver":{"sparkSubmitJobDriver":[]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decode(body)
		if err == nil && (aws.ToString(in.VirtualClusterId) == "" || in.ClientToken != nil) {
			t.Errorf("accepted: %s", body)
		}
	})
}
