package local

import (
	"encoding/xml"
	"fmt"
	"net/http"

	"nightshift/internal/vpc/vpcsim"
)

// stsNamespace is of STS's answers; its version is the only one there is.
const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/" + stsVersion + "/"
)

// Who the local system takes every caller for.
const (
	callerID  = "AIDANIGHTSHIFTLOCAL00"
	callerARN = "arn:aws:iam::" + Account + ":user/local"
)

type identityAnswer struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

type queryError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// serveQuery serves the query protocol: STS's GetCallerIdentity, which is how
// tools find out whose account they are in, and what EC2 tells of the simulated
// network. Any other action is InvalidAction.
func (s *System) serveQuery(w http.ResponseWriter, r *http.Request) {
	id := w.Header().Get("X-Amzn-Requestid")
	refuse := func(code, message string) {
		answerXML(w, http.StatusBadRequest, queryError{Namespace: stsNamespace, Type: "Sender", Code: code, Message: message, RequestID: id})
	}
	if err := r.ParseForm(); err != nil {
		refuse("MalformedQueryString", "the form can not be read: "+err.Error())
		return
	}
	action, version := r.PostForm.Get("Action"), r.PostForm.Get("Version")
	switch {
	case vpcsim.Serves(action):
		s.EC2.ServeHTTP(w, r)
	case action == "":
		refuse("MissingAction", "the request must contain the parameter Action")
	case action != "GetCallerIdentity" || version != stsVersion:
		refuse("InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", action, version))
	default:
		answerXML(w, http.StatusOK, identityAnswer{Namespace: stsNamespace, Arn: callerARN, UserID: callerID, Account: Account, RequestID: id})
	}
}

func answerXML(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(body) // the caller has gone; there is nobody to tell
}
