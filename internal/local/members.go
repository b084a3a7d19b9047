package local

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
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	emrapi "github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	sagemakerapi "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"nightshift/internal/accounts"
	"nightshift/internal/app"
	"nightshift/internal/asl/clock"
	"nightshift/internal/config"
	"nightshift/internal/engine/emrcontainers"
	"nightshift/internal/engine/emrcontainers/emrcontainerssim"
	"nightshift/internal/engine/sagemaker"
	"nightshift/internal/engine/sagemaker/sagemakersim"
)

// hub is the place that the local system itself plays.
var hub = config.Place{Account: Account, Region: Region}

// STS is where the members' STS is, among the URLs.
const STS = "sts"

// memberRole is what the local system takes on at its members' places. In a
// deployment each function has a role of its own there.
const memberRole = "arn:aws:iam::<account>:role/nightshift-local-<region>"

// Member is another account's Region with engines of its own, which only the
// credentials of its role may call.
type Member struct {
	config.Place
	EMR       *emrcontainerssim.Sim
	SageMaker *sagemakersim.Sim
	gate      *gate
}

// Endpoints are the ids of a member's endpoints: EMR on EKS, and SageMaker.
func (m *Member) Endpoints() (emr, sagemaker string) {
	return "emr-containers/" + m.String(), "sagemaker/" + m.String()
}

// Admit says whether the member's role may be taken on. Where it may not, what was
// given out before is worth nothing either, as where an administrator revokes a role's
// sessions.
func (m *Member) Admit(may bool) { m.gate.admit(m.role(), may) }

// Taken counts how often the role was taken on.
func (m *Member) Taken() int { return m.gate.taken(m.role()) }

// Refused counts the calls of engines that were not made in the role's name.
func (m *Member) Refused() int {
	m.gate.mu.Lock()
	defer m.gate.mu.Unlock()
	return m.gate.turnedAway[m.Place]
}

func (m *Member) role() string {
	return strings.NewReplacer("<account>", m.Account, "<region>", m.Region).Replace(memberRole)
}

// addMembers starts the members' engines, and STS, which gives out what calls them.
func (s *System) addMembers(engines map[string]app.Engine) error {
	if len(s.spread.Members) == 0 {
		return nil
	}
	g := &gate{clock: s.Clock, roles: map[string]*role{}, issued: map[string]issued{}, turnedAway: map[config.Place]int{}}
	url, err := s.serve(http.HandlerFunc(g.serveSTS))
	if err != nil {
		return err
	}
	s.URLs[STS] = url
	reach := accounts.New(localAWS(), Account, memberRole, "nightshift-local", func(o *sts.Options) { o.BaseEndpoint = aws.String(url) })
	onEKS := app.PerEndpoint{EMROnEKS: engines["emr-containers"]}
	jobs := app.PerEndpoint{SageMaker: engines["sagemaker"]}
	for _, place := range s.spread.Members {
		if place == s.spread.Identity {
			continue // it is asked in this process
		}
		m := &Member{
			Place: place, gate: g, EMR: emrcontainerssim.New(s.Clock, emrcontainerssim.Config{Account: place.Account, Region: place.Region, Clusters: []string{VirtualCluster}}),
			SageMaker: sagemakersim.New(s.Clock, sagemakersim.Config{Account: place.Account, Region: place.Region}),
		}
		g.admit(m.role(), true)
		conf := reach.At(place.Account, place.Region)
		if cache, ok := conf.Credentials.(*aws.CredentialsCache); ok {
			conf.Credentials = virtual{cache, s.Clock}
		}
		emr, training := m.Endpoints()
		for endpoint, h := range map[string]http.Handler{emr: g.only(m, m.EMR), training: g.only(m, m.SageMaker)} {
			if s.URLs[endpoint], err = s.serve(h); err != nil {
				return err
			}
		}
		onEKS[emr] = emrcontainers.New(emrapi.NewFromConfig(conf, func(o *emrapi.Options) { o.BaseEndpoint = aws.String(s.URLs[emr]); o.Retryer = aws.NopRetryer{} }), place.Account, place.Region, s.Clock.Now)
		jobs[training] = sagemaker.New(sagemakerapi.NewFromConfig(conf, func(o *sagemakerapi.Options) {
			o.BaseEndpoint = aws.String(s.URLs[training])
			o.Retryer = aws.NopRetryer{}
		}), place.Account, place.Region, s.Clock.Now)
		s.Members = append(s.Members, m)
	}
	engines["emr-containers"], engines["sagemaker"] = onEKS, jobs
	return nil
}

// endpoints lists the system's endpoints, the members' last.
func (s *System) endpoints() []string {
	all := []string{Livy, LivyOld, EMROnEKS, SageMaker, EMRNotebook}
	for _, m := range s.Members {
		emr, training := m.Endpoints()
		all = append(all, emr, training)
	}
	return all
}

// virtual are credentials that are valid by the virtual clock: the SDK's cache keeps
// to the machine's, of which that may be ahead.
type virtual struct {
	cache *aws.CredentialsCache
	clock *clock.Clock
}

// Retrieve gives credentials, taken anew where the virtual clock is past them.
func (v virtual) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := v.cache.Retrieve(ctx)
	if err != nil || !c.CanExpire || v.clock.Now().Before(c.Expires) {
		return c, err
	}
	v.cache.Invalidate()
	return v.cache.Retrieve(ctx)
}

// gate stands for STS and for IAM at the members' places: it gives out credentials of
// roles, and lets only those through.
type gate struct {
	clock *clock.Clock

	mu         sync.Mutex
	roles      map[string]*role  // by ARN
	issued     map[string]issued // by the access key's id
	turnedAway map[config.Place]int
}

type role struct {
	admits bool
	taken  int
}

type issued struct {
	role    string
	secret  string
	token   string
	expires time.Time
}

func (g *gate) admit(arn string, may bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.roles[arn] == nil {
		g.roles[arn] = &role{}
	}
	g.roles[arn].admits = may
	if !may {
		clear(g.issued)
	}
}

func (g *gate) taken(arn string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.roles[arn].taken
}

type assumeRoleAnswer struct {
	XMLName    xml.Name `xml:"AssumeRoleResponse"`
	Namespace  string   `xml:"xmlns,attr"`
	KeyID      string   `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret     string   `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token      string   `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expiration string   `xml:"AssumeRoleResult>Credentials>Expiration"`
	Arn        string   `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	RequestID  string   `xml:"ResponseMetadata>RequestId"`
}

// serveSTS serves AssumeRole to who signs with the hub's credentials.
func (g *gate) serveSTS(w http.ResponseWriter, r *http.Request) {
	id := newID()
	refuse := func(status int, code, message string) {
		answerXML(w, status, queryError{Namespace: stsNamespace, Type: "Sender", Code: code, Message: message, RequestID: id})
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestMax))
	form, formErr := url.ParseQuery(string(body))
	ours, _ := localAWS().Credentials.Retrieve(r.Context()) // they are static
	seconds, _ := strconv.Atoi(form.Get("DurationSeconds"))
	arn, name := form.Get("RoleArn"), form.Get("RoleSessionName")
	g.mu.Lock()
	defer g.mu.Unlock()
	of := g.roles[arn]
	switch {
	case err != nil || formErr != nil || form.Get("Action") != "AssumeRole" || form.Get("Version") != stsVersion:
		refuse(http.StatusBadRequest, "InvalidAction", "STS of the members takes AssumeRole only")
		return
	case name == "" || seconds < 900 || seconds > 3600:
		refuse(http.StatusBadRequest, "ValidationError", "RoleSessionName must be given, and DurationSeconds be from 900 to 3600 where one role takes on another")
		return
	case !signed(r, body, ours.AccessKeyID, ours.SecretAccessKey, ""):
		refuse(http.StatusForbidden, "SignatureDoesNotMatch", "the request is not signed with credentials of the hub")
		return
	case of == nil || !of.admits:
		refuse(http.StatusForbidden, "AccessDenied", "User: "+callerARN+" is not authorized to perform: sts:AssumeRole on resource: "+arn)
		return
	}
	of.taken++
	key := "ASIA" + strings.ToUpper(strings.ReplaceAll(newID(), "-", ""))[:16]
	given := issued{role: arn, secret: newID(), token: newID(), expires: g.clock.Now().Add(time.Duration(seconds) * time.Second)}
	g.issued[key] = given
	answerXML(w, http.StatusOK, assumeRoleAnswer{
		Namespace: stsNamespace, KeyID: key, Secret: given.secret, Token: given.token, Expiration: given.expires.UTC().Format(time.RFC3339),
		Arn: strings.Replace(strings.Replace(arn, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + name, RequestID: id,
	})
}

// only lets requests to an engine through that a member's role signed, for the
// member's Region.
func (g *gate) only(m *Member, engine http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestMax))
		r.Body = io.NopCloser(bytes.NewReader(body))
		code := g.judge(m, r, body)
		if err != nil {
			code = "RequestEntityTooLargeException"
		}
		if code == "" {
			engine.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"the call is not made in the name of %s"}`, code, m.role()) // the caller has gone; there is nobody to tell
	})
}

// judge answers the code with which a request is refused; "" for none.
func (g *gate) judge(m *Member, r *http.Request, body []byte) (code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, region, _, _ := scope(r)
	given, known := g.issued[key]
	switch {
	case !known || given.token != r.Header.Get("X-Amz-Security-Token"):
		code = "UnrecognizedClientException"
	case given.role != m.role() || region != m.Region:
		code = "AccessDeniedException"
	case !g.clock.Now().Before(given.expires):
		code = "ExpiredTokenException"
	case !signed(r, body, key, given.secret, given.token):
		code = "InvalidSignatureException"
	}
	if code != "" {
		g.turnedAway[m.Place]++
	}
	return code
}

// scope reads who signed a request, for which Region and service, and which headers.
func scope(r *http.Request) (key, region, service string, headers []string) {
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ", ") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "Credential":
			if p := strings.Split(value, "/"); len(p) == 5 {
				key, region, service = p[0], p[2], p[3]
			}
		case "SignedHeaders":
			headers = strings.Split(value, ";")
		}
	}
	return key, region, service, headers
}

// signed says whether a request bears the signature of credentials: it is signed again
// and compared.
func signed(r *http.Request, body []byte, key, secret, token string) bool {
	of, region, service, headers := scope(r)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if of != key || err != nil {
		return false
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return false
	}
	again.ContentLength = 0
	for _, h := range headers {
		switch h {
		case "host", "x-amz-date", "x-amz-security-token": // the signer adds them
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[http.CanonicalHeaderKey(h)] = r.Header.Values(h)
		}
	}
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token}, again, hex.EncodeToString(sum[:]), service, region, at)
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}
