package inbound

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// Event sources as CloudTrail names them.
const (
	portal    = "sso.amazonaws.com"
	oauth     = "sso-oauth.amazonaws.com"
	directory = "sso-directory.amazonaws.com"
	store     = "identitystore.amazonaws.com"
	scim      = "identitystore-scim.amazonaws.com"
	auth      = "identitystore-auth.amazonaws.com"
	signin    = "signin.amazonaws.com"
	sagemaker = "sagemaker.amazonaws.com"
	onEKS     = "emr-containers.amazonaws.com"
	emr       = "elasticmapreduce.amazonaws.com"
)

// identitySources are those whose unknown events are kept (S3.1): AWS does not
// document what it records when an administrator ends a session.
var identitySources = []string{portal, oauth, directory, store, scim, auth, signin}

// call names a recorded API call or service event.
type call struct{ source, name string }

// calls are the recorded events that are acted on.
var calls = map[call]entry{
	{portal, "Logout"}: {"cloudtrail-logout", logout},

	{oauth, "CreateTokenWithIAM"}: {"cloudtrail-create-token-with-iam", tokenIssued},

	{directory, "DisableUser"}: {"cloudtrail-disable-user", target(session.UserDisabled, "userId")},
	{store, "DisableUser"}:     {"cloudtrail-disable-user", target(session.UserDisabled, "userId")},
	{directory, "EnableUser"}:  {"cloudtrail-enable-user", target(session.UserEnabled, "userId")},
	{store, "EnableUser"}:      {"cloudtrail-enable-user", target(session.UserEnabled, "userId")},
	{directory, "DeleteUser"}:  {"cloudtrail-delete-user", target(session.UserDeleted, "userId")},
	{store, "DeleteUser"}:      {"cloudtrail-delete-user", target(session.UserDeleted, "userId")},
	{scim, "DeleteUser"}:       {"cloudtrail-delete-user", target(session.UserDeleted, "id")},

	{directory, "UpdateUser"}: {"cloudtrail-update-user", userCheck("userId")},
	{store, "UpdateUser"}:     {"cloudtrail-update-user", userCheck("userId")},
	{scim, "PatchUser"}:       {"cloudtrail-update-user", userCheck("id")},
	{scim, "PutUser"}:         {"cloudtrail-update-user", userCheck("id")},

	{portal, "DeleteApplicationAssignment"}: {"cloudtrail-access-removed", assignmentDeleted},
	{directory, "RemoveMemberFromGroup"}:    {"cloudtrail-access-removed", membershipDeleted},
	{store, "DeleteGroupMembership"}:        {"cloudtrail-access-removed", membershipDeleted},
	{directory, "DeleteGroup"}:              {"cloudtrail-access-removed", groupChanged("groupId")},
	{store, "DeleteGroup"}:                  {"cloudtrail-access-removed", groupChanged("groupId")},
	{scim, "DeleteGroup"}:                   {"cloudtrail-access-removed", groupChanged("id")},
	{scim, "PatchGroup"}:                    {"cloudtrail-access-removed", groupChanged("id")},
	{scim, "PutGroup"}:                      {"cloudtrail-access-removed", groupChanged("id")},

	{auth, "BatchDeleteSession"}:      {"cloudtrail-end-session", sessionsEnded},
	{auth, "DeleteSession"}:           {"cloudtrail-end-session", sessionsEnded},
	{directory, "BatchDeleteSession"}: {"cloudtrail-end-session", sessionsEnded},
	{directory, "DeleteSession"}:      {"cloudtrail-end-session", sessionsEnded},

	{sagemaker, "CreateTrainingJob"}:             {"cloudtrail-job-created", birth(arnOf("trainingJobArn", workload.SageMakerTraining))},
	{sagemaker, "CreateProcessingJob"}:           {"cloudtrail-job-created", birth(arnOf("processingJobArn", workload.SageMakerProcessing))},
	{sagemaker, "StartPipelineExecution"}:        {"cloudtrail-job-created", birth(arnOf("pipelineExecutionArn", workload.SageMakerPipeline))},
	{onEKS, "StartJobRun"}:                       {"cloudtrail-job-created", birth(arnOf("arn", workload.EMRContainers))},
	{emr, "StartNotebookExecution"}:              {"cloudtrail-job-created", birth(notebookExecution)},
	{sagemaker, "CreateTransformJob"}:            {"cloudtrail-job-created", unsupported("transform jobs")},
	{sagemaker, "CreateHyperParameterTuningJob"}: {"cloudtrail-job-created", unsupported("tuning jobs")},

	{sagemaker, "UpdateDomain"}: {"cloudtrail-update-domain", domainUpdated},
}

// harmless are events of the identity sources that end nothing, with why.
var harmless = map[call]string{
	{portal, "Authenticate"}:                       "a sign-in",
	{portal, "Federate"}:                           "a sign-in to an account",
	{portal, "StartDeviceAuthorization"}:           "part of a sign-in",
	{portal, "PutApplicationSessionConfiguration"}: "a setting, read when a session is opened",
	{portal, "UpdateApplication"}:                  "a setting, read when a session is opened",
	{portal, "DeleteAccountAssignment"}:            "access to an account, not to an application",
	{signin, "CredentialChallenge"}:                "part of a sign-in",
	{signin, "CredentialVerification"}:             "part of a sign-in",
	{signin, "UserAuthentication"}:                 "a sign-in",
}

// takesNothing begins the names of calls that read or give, and so can neither
// end a session nor take access away.
var takesNothing = []string{"List", "Get", "Describe", "Search", "BatchGet", "Is", "Create", "Add", "Register", "Verify"}

// callName is what AWS's event names look like. The kinds of unknown events are
// counted by name, so a name must be one.
var callName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// recorded is an event that CloudTrail recorded.
func (e *event) recorded() app.Message {
	if !e.object(e.detail) {
		return nil
	}
	c := call{e.text(e.detail.at("eventSource")), e.text(e.detail.at("eventName"))}
	if e.err == nil && !callName.MatchString(c.name) {
		e.failf(e.detail.at("eventName"), "it must be letters and digits, at most 64")
	}
	if e.err != nil {
		return nil
	}
	known, ok := calls[c]
	identity := slices.Contains(identitySources, c.source)
	switch code := e.detail.at("errorCode"); {
	case !ok && !identity:
		return ignored("%s of %s is not a call that is acted on", c.name, c.source)
	case code.value != nil && code.value != "":
		return ignored("%s of %s failed, it changed nothing", c.name, c.source)
	case ok:
		return known.rule(e)
	case harmless[c] != "":
		return ignored("%s of %s: %s", c.name, c.source, harmless[c])
	}
	for _, p := range takesNothing {
		if strings.HasPrefix(c.name, p) {
			return ignored("%s of %s takes nothing away", c.name, c.source)
		}
	}
	return e.unrecognised(c)
}

// unrecognised keeps the event as a sample of its kind (S3.1).
func (e *event) unrecognised(c call) app.Message {
	at, ok := parseMoment(e.detail.at("eventTime").loose())
	if !ok {
		at = e.received.UTC()
	}
	return app.Unrecognised{Kind: c.source + "/" + c.name, Body: e.body, At: e.past(at)}
}

// eventID is the id that every delivery of the record shares: CloudTrail's own,
// else the envelope's.
func (e *event) eventID() string {
	if id := e.detail.at("eventID"); id.value != nil {
		return e.text(id)
	}
	return e.text(e.root.at("id"))
}

// eventTime is when the call was made; the envelope's time is when it was
// delivered.
func (e *event) eventTime() time.Time { return e.moment(e.detail.at("eventTime")) }

// onBehalfOf is the Identity Center user who acted; "" where the call carried
// none. Whether the identity's type is IdentityCenterUser, Unknown or a role's
// makes no difference: AWS is moving from one to the other.
func (e *event) onBehalfOf() string {
	n := e.detail.in("userIdentity", "onBehalfOf", "userId")
	if n.value == nil && n.fault == nil {
		return ""
	}
	return e.user(n)
}

// storeOfUser is the identity store that the user who acted is of; "" where the
// record does not say.
func (e *event) storeOfUser() string {
	arn := e.detail.in("userIdentity", "onBehalfOf", "identityStoreArn").loose()
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "identitystore" {
		return ""
	}
	id, ok := strings.CutPrefix(part[5], "identitystore/")
	if !ok {
		return ""
	}
	return id
}

// actor says who made the call, as well as the record knows: a user, else the
// role or service. It is never an e-mail address, which role sessions of
// Identity Center are named by: what follows the '@' is cut off.
func (e *event) actor() string {
	identity := e.detail.at("userIdentity")
	for _, n := range []node{identity.in("onBehalfOf", "userId"), identity.at("arn"), identity.at("principalId"), identity.at("invokedBy"), identity.at("type")} {
		if s := n.loose(); s != "" && len(s) <= textMax {
			s, _, _ = strings.Cut(s, "@")
			return s
		}
	}
	return ""
}

func (e *event) parameters() node { return e.detail.at("requestParameters") }
