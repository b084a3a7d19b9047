package account

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// IAM, Lambda and Service Quotas are asked five questions. Their protocols are
// spoken here, signed by the SDK's own signer, which spares three whole clients.

// wireMax bounds one answer.
const wireMax = 4 << 20

// wire is one request to a service.
type wire struct {
	service, region, host string
	method, path          string
	header                map[string]string
	body                  string
}

// ask signs and sends a request and gives its answer; an answer that is an error
// is a smithy.APIError, as the SDK's are.
func (r *Reader) ask(ctx context.Context, w wire) ([]byte, error) {
	base := "https://" + w.host
	if r.conf.BaseEndpoint != nil {
		base = strings.TrimSuffix(*r.conf.BaseEndpoint, "/")
	}
	req, err := http.NewRequestWithContext(ctx, w.method, base+w.path, bytes.NewReader([]byte(w.body)))
	if err != nil {
		return nil, err
	}
	for name, value := range w.header {
		req.Header.Set(name, value)
	}
	credentials, err := r.conf.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(w.body))
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(hash[:]), w.service, w.region, r.now()); err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read, or the error is told
	text, err := io.ReadAll(io.LimitReader(resp.Body, wireMax))
	if err != nil || resp.StatusCode < 300 {
		return text, err
	}
	return nil, refusal(resp, text)
}

// refusal reads an error in whichever of the three forms it came.
func refusal(resp *http.Response, text []byte) error {
	e := &smithy.GenericAPIError{Code: resp.Header.Get("X-Amzn-Errortype")}
	var form struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	var query struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	switch {
	case json.Unmarshal(text, &form) == nil:
		e.Message = form.Message // names are matched without case: also Message
		if e.Code == "" {
			e.Code = form.Type
		}
	case xml.Unmarshal(text, &query) == nil:
		e.Code, e.Message = query.Code, query.Message
	}
	_, e.Code = cutLast(e.Code, "#")
	e.Code, _, _ = strings.Cut(e.Code, ":")
	if e.Code == "" {
		e.Code = resp.Status
	}
	return e
}

func cutLast(s, sep string) (before, after string) {
	i := strings.LastIndex(s, sep)
	return s[:max(i, 0)], s[i+1:]
}

// iam is where IAM is: one place for a partition.
func (r *Reader) iam() (host, region string) {
	switch {
	case strings.HasPrefix(r.conf.Region, "cn-"):
		return "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"
	case strings.HasPrefix(r.conf.Region, "us-gov-"):
		return "iam.us-gov.amazonaws.com", "us-gov-west-1"
	}
	return "iam.amazonaws.com", "us-east-1"
}

func (r *Reader) askIAM(ctx context.Context, action, name, value string, into any) error {
	host, region := r.iam()
	text, err := r.ask(ctx, wire{"iam", region, host, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
		url.Values{"Action": {action}, "Version": {"2010-05-08"}, name: {value}}.Encode()})
	if err != nil {
		return err
	}
	return xml.Unmarshal(text, into)
}

// trust reads the trust policy of a role.
func (r *Reader) trust(ctx context.Context, role string) (string, error) {
	_, name := cutLast(role, "/")
	var out struct {
		Document string `xml:"GetRoleResult>Role>AssumeRolePolicyDocument"`
	}
	if err := r.askIAM(ctx, "GetRole", "RoleName", name, &out); err != nil {
		return "", err
	}
	return url.PathUnescape(out.Document)
}

// profile reads the role of an instance profile, which EMR names by name or ARN.
func (r *Reader) profile(ctx context.Context, profile string) (string, error) {
	_, name := cutLast(profile, "/")
	var out struct {
		Roles []string `xml:"GetInstanceProfileResult>InstanceProfile>Roles>member>Arn"`
	}
	if err := r.askIAM(ctx, "GetInstanceProfile", "InstanceProfileName", name, &out); err != nil {
		return "", err
	}
	if len(out.Roles) != 1 {
		return "", fmt.Errorf("the instance profile %s has %d roles", name, len(out.Roles))
	}
	return out.Roles[0], nil
}

func (r *Reader) askLambda(ctx context.Context, path string, into any) error {
	text, err := r.ask(ctx, wire{service: "lambda", region: r.conf.Region, host: "lambda." + r.conf.Region + r.suffix(), method: http.MethodGet, path: path})
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (r *Reader) suffix() string {
	if strings.HasPrefix(r.conf.Region, "cn-") {
		return ".amazonaws.com.cn"
	}
	return ".amazonaws.com"
}

// quota reads an applied quota by its name.
func (r *Reader) quota(ctx context.Context, service, name string) (float64, error) {
	token := ""
	for range quotaPages {
		in := map[string]any{"ServiceCode": service, "MaxResults": 100}
		if token != "" {
			in["NextToken"] = token
		}
		body, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		text, err := r.ask(ctx, wire{"servicequotas", r.conf.Region, "servicequotas." + r.conf.Region + r.suffix(), http.MethodPost, "/",
			map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "ServiceQuotasV20190624.ListServiceQuotas"}, string(body)})
		if err != nil {
			return 0, err
		}
		var out struct {
			Quotas []struct {
				QuotaName string
				Value     float64
			}
			NextToken string
		}
		if err := json.Unmarshal(text, &out); err != nil {
			return 0, err
		}
		for _, q := range out.Quotas {
			if q.QuotaName == name {
				return q.Value, nil
			}
		}
		if token = out.NextToken; token == "" {
			return 0, fmt.Errorf("there is no quota %q", name)
		}
	}
	return 0, fmt.Errorf("the quota %q is not on the first %d pages", name, quotaPages)
}

// quotaPages bounds the search: SageMaker has some thousand quotas, 100 to a page.
const quotaPages = 60

// is whether an error is a service's answer with one of the codes.
func is(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}

// why says in half a sentence why something was not read.
func why(action string, err error) string {
	var api smithy.APIError
	switch {
	case !errors.As(err, &api):
		var far *url.Error
		if errors.As(err, &far) {
			err = far.Err
		}
		return action + " got no answer (" + err.Error() + ")"
	case strings.HasPrefix(api.ErrorCode(), "AccessDenied") || api.ErrorCode() == "UnauthorizedOperation" || api.ErrorCode() == "UnauthorizedException":
		return "access denied: " + action
	}
	if _, slow := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; slow {
		return action + " was throttled"
	}
	return action + " answered " + api.ErrorCode() + ": " + strings.TrimSuffix(api.ErrorMessage(), ".")
}

func text(s *string) string { return aws.ToString(s) }
