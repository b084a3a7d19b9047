package config

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"nightshift/internal/cadence"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Endpoint is one endpoint to look at, and what an administrator knows of it
// that no API tells, or none that a function should be allowed to call.
type Endpoint struct {
	ID              string           // "<api>/<account or cluster>[/<region>]"
	API             string           // the part of ID before the first slash
	Region          string           // "" for Livy
	URL             string           // Livy: where the server is, "https://host:8998"; "" otherwise
	ApplicationARN  string           // of Identity Center; "" is unknown
	Facts           session.Facts    // all but Instance and ApplicationBackground, which are read
	VirtualClusters []string         // EMR on EKS: those to list; none means all
	Livy            LivyAccess       // Livy only
	UserTag         string           // the tag that says whose a run is that Nightshift did not start; "" for Livy, which has no tags
	Cadence         cadence.Endpoint // how fast it may be used and how often it is listed
	Hardware        workload.Billing // Livy: on what its cluster runs; zero is not told
}

// LivyAccess is how a Livy server is reached. The zero value: without
// authentication, trusting the system's authorities, in nobody's name.
type LivyAccess struct {
	Cluster string // the EMR cluster that asks for credentials; "" where Role is
	Role    string // ARN of the runtime role to ask EMR for credentials with (GetClusterSessionCredentials); ""
	CA      string // certificates of the authorities that vouch for the server, PEM; ""
	CAFile  string // the same in a file that the function carries; at most one of the two is given
	DoAs    string // the user in whose name requests are made (Livy's doAs); ""
}

// The APIs that an endpoint can belong to, those that have an engine; the words
// are those of the endpoints' ids. One without an engine is refused here, where
// it is seen, and not at each look at it.
const (
	apiLivy          = "livy"
	apiEMRContainers = "emr-containers"
	apiEMRNotebook   = "emr-notebook"
	apiSageMaker     = "sagemaker"
)

// UserTagDefault is the tag that says whose a run is, where none is set.
const UserTagDefault = "nightshift:user"

// sessionTag is the tag that joins a run with its session.
const sessionTag = "nightshift:session"

// endpoint is one element of the variable's JSON list.
type endpoint struct {
	Endpoint             string   `json:"endpoint"`
	URL                  string   `json:"url"`
	ApplicationARN       string   `json:"applicationArn"`
	IdentityPropagation  tri      `json:"identityPropagation"`
	ClusterBackground    tri      `json:"clusterBackground"`
	ReleaseLabel         string   `json:"releaseLabel"`
	BootstrapConfirmed   tri      `json:"bootstrapConfirmed"`
	UnifiedStudioCluster tri      `json:"unifiedStudioCluster"`
	UnifiedStudioLaunch  tri      `json:"unifiedStudioLaunch"`
	VirtualClusters      []string `json:"virtualClusters"`
	ExecutionRoleARN     string   `json:"executionRoleArn"`
	LivyCA               string   `json:"livyCA"`
	LivyCAFile           string   `json:"livyCAFile"`
	LivyDoAs             string   `json:"livyDoAs"`
	UserTag              string   `json:"userTag"`
	settings
}

// tri is "on", "off" or "unknown"; absent is unknown.
type tri string

func (t tri) value() (session.Tri, bool) {
	switch t {
	case "on":
		return session.On, true
	case "off":
		return session.Off, true
	case "", "unknown":
		return session.Unknown, true
	}
	return session.Unknown, false
}

const (
	endpointsForm = `a JSON list of endpoints, such as [{"endpoint":"sagemaker/123456789012/us-east-1","identityPropagation":"on"}]; [] where there is none`
	// endpointsMax bounds what one deployment tends. Lambda allows all variables
	// together 4 KiB, so that a longer list does not arrive anyway.
	endpointsMax = 64
)

var (
	clusterForm        = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	virtualClusterForm = regexp.MustCompile(`^[0-9a-z]{1,64}$`)
	// The clusters that EMR knows by their id.
	emrClusterForm = regexp.MustCompile(`^j-[0-9A-Z]{1,64}$`)
	roleForm       = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$`)
	doAsForm       = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,128}$`)
	tagForm        = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+@-]{1,128}$`)
	releaseForm    = regexp.MustCompile(`^emr-\d+\.\d+(\.(\d+|x))?(-latest)?$`)
	// API reference of Identity Center, GetApplicationSessionConfiguration.
	applicationForm = regexp.MustCompile(`^arn:aws(-[a-z]{1,5}){0,3}:sso::\d{12}:application/(sso)?ins-[a-zA-Z0-9-.]{16}/apl-[a-zA-Z0-9]{16}$`)
)

// endpoints reads the list. account is the one that all must be in, whose engines can
// be called with our own credentials; "" where it is not known, or there are others.
func (r *reader) endpoints(account string) []Endpoint {
	v := r.value(Endpoints, endpointsForm)
	if v == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(v))
	d.DisallowUnknownFields()
	var list []endpoint
	err := d.Decode(&list)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the list")
		}
	}
	if err != nil || bytes.Equal(bytes.TrimSpace([]byte(v)), []byte("null")) {
		r.failf(Endpoints, "cannot be read (%s); it must be %s.", reason(err), endpointsForm)
		return nil
	}
	if len(list) > endpointsMax {
		r.failf(Endpoints, "has %d endpoints; at most %d are allowed.", len(list), endpointsMax)
		return nil
	}
	seen := map[string]bool{}
	all := make([]Endpoint, 0, len(list))
	for i, raw := range list {
		e := endpointReader{r, fmt.Sprintf("%s[%d]", Endpoints, i)}
		if seen[raw.Endpoint] {
			e.failf("endpoint", "is %q, which is in the list already; each endpoint must be there once.", raw.Endpoint)
		}
		seen[raw.Endpoint] = true
		all = append(all, e.endpoint(raw, account))
	}
	return all
}

func reason(err error) string {
	if err == nil {
		return "it is null"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// endpointReader names the element and field in its faults.
type endpointReader struct {
	r    *reader
	path string
}

func (e endpointReader) failf(field, format string, args ...any) {
	e.r.failf(e.path+"."+field, format, args...)
}

func (e endpointReader) endpoint(raw endpoint, account string) Endpoint {
	out := Endpoint{
		ID: raw.Endpoint, URL: raw.URL, ApplicationARN: raw.ApplicationARN, VirtualClusters: slices.Clone(raw.VirtualClusters),
		Facts: session.Facts{
			IdentityPropagation:  e.tri("identityPropagation", raw.IdentityPropagation),
			ClusterBackground:    e.tri("clusterBackground", raw.ClusterBackground),
			ReleaseLabel:         raw.ReleaseLabel,
			BootstrapConfirmed:   e.tri("bootstrapConfirmed", raw.BootstrapConfirmed),
			UnifiedStudioCluster: e.tri("unifiedStudioCluster", raw.UnifiedStudioCluster),
			UnifiedStudioLaunch:  e.tri("unifiedStudioLaunch", raw.UnifiedStudioLaunch),
		},
	}
	out.API, out.Region = e.id(raw.Endpoint, account)
	out.Cadence = e.settings(raw.settings, out.API)
	out.Hardware = e.hardware(raw.settings, out.API)
	out.UserTag = e.userTag(raw.UserTag, out.API)
	if raw.ApplicationARN != "" && !applicationForm.MatchString(raw.ApplicationARN) {
		e.failf("applicationArn", "is %q; it must be the ARN of an application of Identity Center, arn:aws:sso::<account>:application/ssoins-<16>/apl-<16>.", raw.ApplicationARN)
	}
	if raw.ReleaseLabel != "" && !releaseForm.MatchString(raw.ReleaseLabel) {
		e.failf("releaseLabel", `is %q; it must be a release of EMR such as "emr-7.12.0".`, raw.ReleaseLabel)
	}
	livy := out.API == apiLivy
	if livy || raw.URL != "" {
		e.url(raw.URL, livy)
	}
	if len(raw.VirtualClusters) > 0 && out.API != apiEMRContainers {
		e.failf("virtualClusters", "is given; only endpoints of emr-containers have virtual clusters.")
	}
	if livy {
		out.Livy = e.livy(raw)
	} else {
		for field, value := range map[string]string{
			"executionRoleArn": raw.ExecutionRoleARN, "livyCA": raw.LivyCA, "livyCAFile": raw.LivyCAFile, "livyDoAs": raw.LivyDoAs,
		} {
			if value != "" {
				e.failf(field, "is given; only endpoints of livy have one.")
			}
		}
	}
	for _, v := range raw.VirtualClusters {
		if !virtualClusterForm.MatchString(v) {
			e.failf("virtualClusters", "has %q; it must be a list of ids of virtual clusters, of small letters and digits.", v)
		}
	}
	return out
}

// userTag reads the name of a tag. AWS's own ("aws:…") nobody can set.
func (e endpointReader) userTag(tag, api string) string {
	switch {
	case api == apiLivy:
		if tag != "" {
			e.failf("userTag", "is given; only endpoints of sagemaker, emr-containers and emr-notebook have tags.")
		}
		return ""
	case tag == "":
		return UserTagDefault
	case !tagForm.MatchString(tag) || strings.HasPrefix(strings.ToLower(tag), "aws:") || tag == sessionTag:
		e.failf("userTag", `is %q; it must be the name of a tag: 1 to 128 letters, digits, spaces and '_', '.', ':', '/', '=', '+', '-', '@', not beginning with "aws:", and not %q, which names sessions.`, tag, sessionTag)
	}
	return tag
}

func (e endpointReader) tri(field string, t tri) session.Tri {
	v, ok := t.value()
	if !ok {
		e.failf(field, "is %q; it must be on, off or unknown.", string(t))
	}
	return v
}

// id takes an endpoint's id apart.
func (e endpointReader) id(id, account string) (api, region string) {
	parts := strings.Split(id, "/")
	switch {
	case parts[0] == apiLivy && len(parts) == 2 && clusterForm.MatchString(parts[1]):
		return apiLivy, ""
	case slices.Contains([]string{apiEMRContainers, apiEMRNotebook, apiSageMaker}, parts[0]) && len(parts) == 3 &&
		accountForm.MatchString(parts[1]) && regionForm.MatchString(parts[2]):
		if account != "" && parts[1] != account {
			e.failf("endpoint", "is of account %s; it must be of %s, the account of %s.", parts[1], account, Account)
		}
		return parts[0], parts[2]
	}
	e.failf("endpoint", "is %q; it must be livy/<cluster>, or emr-containers, emr-notebook or sagemaker followed by /<account>/<region>.", id)
	return "", ""
}

func (e endpointReader) url(raw string, livy bool) {
	if !livy {
		e.failf("url", "is given; only endpoints of livy have one.")
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		e.failf("url", `must be the address of the Livy server, such as "https://ip-10-0-0-1.ec2.internal:8998".`)
	case u.User != nil:
		// Variables of a function are shown to everyone who may read its settings.
		e.failf("url", "has a user name or password in it; it must have none.")
	}
}

// livy reads how a Livy server is reached. Names and certificates are settings;
// a password is not: EMR gives one for an hour or so to who may have it.
func (e endpointReader) livy(raw endpoint) LivyAccess {
	l := LivyAccess{Role: raw.ExecutionRoleARN, CA: raw.LivyCA, CAFile: raw.LivyCAFile, DoAs: raw.LivyDoAs}
	secure := strings.HasPrefix(raw.URL, "https://")
	if l.Role != "" {
		_, l.Cluster, _ = strings.Cut(raw.Endpoint, "/")
		switch {
		case !roleForm.MatchString(l.Role):
			e.failf("executionRoleArn", "is %q; it must be the ARN of a role, arn:aws:iam::<account>:role/<name>.", l.Role)
		case !emrClusterForm.MatchString(l.Cluster):
			e.failf("executionRoleArn", "is given for livy/%s; only a cluster of EMR has credentials, and its id is written j-<letters and digits>.", l.Cluster)
		case !secure:
			e.failf("executionRoleArn", "is given with an address that is not https; a password must not travel in the clear.")
		}
	}
	if (l.CA != "" || l.CAFile != "") && !secure {
		e.failf("livyCA", "or livyCAFile is given with an address that is not https, where there is no certificate to check.")
	}
	if l.CA != "" && l.CAFile != "" {
		e.failf("livyCAFile", "is given besides livyCA; at most one of them may be.")
	}
	if l.CA != "" {
		e.authorities(l.CA)
	}
	if l.DoAs != "" && !doAsForm.MatchString(l.DoAs) {
		e.failf("livyDoAs", "is %q; it must be the name of a user of Livy: 1 to 128 letters, digits, '.', '_', '-' and '@'.", l.DoAs)
	}
	return l
}

// authorities checks the certificates, and never repeats them: somebody may have
// put a key there.
func (e endpointReader) authorities(text string) {
	const form = "it must be one or more certificates in PEM form (-----BEGIN CERTIFICATE-----)."
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && (n == 0 || len(bytes.TrimSpace(rest)) > 0):
			e.failf("livyCA", "cannot be read; "+form)
			return
		case block == nil:
			return
		case block.Type != "CERTIFICATE":
			e.failf("livyCA", "has a block of another type, %s; "+form, strings.ToLower(block.Type))
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			e.failf("livyCA", "has a certificate that cannot be read; "+form)
			return
		}
	}
}
