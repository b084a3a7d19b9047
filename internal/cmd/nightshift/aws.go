package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"nightshift/internal/client"
)

// openDeployed makes a client of a deployment: with a token of its issuer where
// NIGHTSHIFT_TOKEN has one, else signed with credentials of AWS.
func (r *reach) openDeployed(ctx context.Context, c *client.Client) error {
	base, from := r.api, "--api"
	if base == "" {
		base, from = r.getenv("NIGHTSHIFT_API"), "NIGHTSHIFT_API"
	}
	var err error
	if base != "" {
		if base, err = address(from, base, "an https address, as the stack's output ConsoleUrl has it"); err != nil {
			return err
		}
	}
	token := r.getenv("NIGHTSHIFT_TOKEN")
	var conf aws.Config
	if base == "" || token == "" {
		if conf, err = r.account(ctx); err != nil {
			return err
		}
	}
	if base == "" {
		if base, err = r.output(ctx, conf, "ConsoleUrl"); err != nil {
			return err
		}
	}
	c.Base = strings.TrimSuffix(base, "/")
	if token != "" {
		c.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	c.Base += "/iam"
	c.HTTP.Transport = signing{conf, "execute-api", r.now}
	return nil
}

// account reads settings and credentials where the AWS CLI has them.
func (r *reach) account(ctx context.Context) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(r.region)}
	if r.profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(r.profile))
	}
	conf, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return conf, usage("--profile: %w", err)
	}
	if conf.Region == "" {
		return conf, usage("--region: no region is set; give that of the deployment, such as eu-central-1")
	}
	return conf, nil
}

// signing signs requests with AWS's Signature Version 4.
type signing struct {
	conf    aws.Config
	service string
	now     func() time.Time
}

// RoundTrip signs a copy of the request and sends it.
func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // it was read
	}
	credentials, err := s.conf.Credentials.Retrieve(r.Context())
	if err != nil {
		return nil, fmt.Errorf("there are no credentials of AWS (aws sso login, or --profile): %w", err)
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, r, hex.EncodeToString(hash[:]), s.service, s.conf.Region, s.now()); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(r)
}

// stackAnswer is what CloudFormation answers about a stack, or why not.
type stackAnswer struct {
	Outputs []struct {
		Key   string `xml:"OutputKey"`
		Value string `xml:"OutputValue"`
	} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	Error struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	} `xml:"Error"`
}

// stackMax bounds the description of one stack.
const stackMax = 4 << 20

// output reads one output of the stack. It is the one call to CloudFormation, in
// its query protocol, which spares the service's whole client.
func (r *reach) output(ctx context.Context, conf aws.Config, key string) (string, error) {
	host := "https://cloudformation." + conf.Region + ".amazonaws.com"
	if strings.HasPrefix(conf.Region, "cn-") {
		host += ".cn"
	}
	if conf.BaseEndpoint != nil {
		host = *conf.BaseEndpoint
	}
	form := url.Values{"Action": {"DescribeStacks"}, "Version": {"2010-05-15"}, "StackName": {r.stack}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(host, "/")+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	resp, err := (&http.Client{Timeout: time.Minute, Transport: signing{conf, "cloudformation", r.now}}).Do(req)
	if err != nil {
		return "", fmt.Errorf("CloudFormation cannot be asked: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read, or the error is told
	var a stackAnswer
	if err := xml.NewDecoder(io.LimitReader(resp.Body, stackMax)).Decode(&a); err != nil {
		return "", fmt.Errorf("CloudFormation answers %s, and nothing that can be read", resp.Status)
	}
	switch {
	case strings.Contains(a.Error.Message, "does not exist"):
		return "", statusError{fmt.Errorf("--stack: there is no stack %q in %s", r.stack, conf.Region), exitNotFound}
	case resp.StatusCode == http.StatusForbidden:
		return "", statusError{fmt.Errorf("CloudFormation does not let you read the stack %q (%s); with --api it need not be read", r.stack, a.Error.Code), exitRefused}
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("CloudFormation answers %s: %s", resp.Status, a.Error.Message)
	}
	for _, o := range a.Outputs {
		if o.Key == key {
			return o.Value, nil
		}
	}
	return "", statusError{fmt.Errorf("--stack: the stack %q has no output %s; is it a Nightshift with a console?", r.stack, key), exitNotFound}
}
