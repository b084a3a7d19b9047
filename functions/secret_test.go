package functions

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"nightshift/internal/config"
)

const portalSecret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:nightshift/portal-AbCdEf"

// secretAPI answers texts in turn.
type secretAPI struct {
	texts []string
	asked []string
	fails error
}

func (s *secretAPI) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	s.asked = append(s.asked, aws.ToString(in.SecretId))
	if s.fails != nil {
		return nil, s.fails
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(s.texts[min(len(s.asked), len(s.texts))-1])}, nil
}

// S3.5c: a rotated token is taken up with the next list; what is no token, and a
// secret that cannot be read, are errors that hold nothing of it.
func TestS3_5TheTokenIsTheSecretsText(t *testing.T) {
	api := &secretAPI{texts: []string{"first-token\n", "second-token"}}
	token := bearer(api, portalSecret)
	for _, want := range []string{"first-token", "second-token"} {
		if got, err := token(t.Context()); err != nil || got != want {
			t.Errorf("the token is %q, %v; want %q", got, err, want)
		}
	}
	if len(api.asked) != 2 || api.asked[0] != portalSecret {
		t.Errorf("asked for %v", api.asked)
	}
	for _, text := range []string{"", `{"token":"hush"}`, "hush hush", "hush\r\nX-Evil: 1"} {
		got, err := bearer(&secretAPI{texts: []string{text}}, portalSecret)(t.Context())
		if err == nil || got != "" || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := bearer(&secretAPI{fails: errors.New("denied")}, portalSecret)(t.Context()); err == nil || !strings.Contains(err.Error(), "denied") {
		t.Errorf("a secret that cannot be read: %v", err)
	}
}

// The source is there where its address is, and asks for its token in the
// secret's own region, with the real client, only where a secret is named.
func TestS3_5TheSessionSourceIsWiredToItsSecret(t *testing.T) {
	region, bearers := "", []string(nil)
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		region = strings.Split(r.Header.Get("Authorization"), "/")[2]
		_, _ = w.Write([]byte(`{"SecretString":"portal-token"}`))
	}))
	defer vault.Close()
	portal := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bearers = append(bearers, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"sessions":[],"total":0}`))
	}))
	defer portal.Close()
	sdk := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(vault.URL), Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
	if s, err := sessionsOf(sdk, config.Config{}, nil); s != nil || err != nil {
		t.Errorf("a source without an address: %v, %v", s, err)
	}
	for _, secret := range []string{"", portalSecret} {
		s, err := sessionsOf(sdk, config.Config{SessionsURL: portal.URL, SessionsTokenSecret: secret}, portal.Client().Transport)
		if err != nil {
			t.Fatal(err)
		}
		if _, complete, err := s.Live(t.Context()); err != nil || !complete {
			t.Errorf("secret %q: complete %t, %v", secret, complete, err)
		}
		if secret == "" && region != "" {
			t.Error("a secret was read though none is named")
		}
	}
	if len(bearers) != 2 || bearers[0] != "" || bearers[1] != "Bearer portal-token" || region != "eu-west-1" {
		t.Errorf("the portal was asked with %q; the secret in region %q", bearers, region)
	}
}
