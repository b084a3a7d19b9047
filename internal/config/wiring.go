package config

// Rule is one EventBridge rule: what arrives on which bus goes to which
// function's queue. It is said once, here; the CDK app and the local system
// both read it.
type Rule struct {
	Name     string
	OnOwnBus bool   // false: the default bus, where AWS's events arrive
	Pattern  string // an EventBridge event pattern, as JSON
	Function string // the folder below functions/
	// ReadOnly: the rule must also see read-only management events
	// (ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS).
	ReadOnly bool
	// Where what it listens for happens, of the default bus's: where Identity Center
	// is, where engines are, or both; neither: where Nightshift itself is.
	Identity, Engines bool
}

// Rules is what reacts to what. Identity events whose names nobody knows go to
// on-revocation too, because AWS does not document the name of a revoke: it
// counts and keeps them (S3.1). So do events on our own bus whose detail-type is
// none that we know, or a misspelt one would be lost in silence (S3.6): the last
// filter of own-revocation names what goes elsewhere or is ours to say.
//
// On the default bus each asks for a source of AWS's: PutEvents takes none that begins
// with "aws." (NotAuthorizedForSourceException), so that nobody who may put events
// there can make up that somebody signed out.
func Rules() []Rule {
	return []Rule{
		{Name: "sign-out", Function: "on-logout", ReadOnly: true, Identity: true, Pattern: `{
			"source": [{"prefix": "aws."}], "detail-type": ["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"],
			"detail": {"eventSource": ["sso.amazonaws.com"], "eventName": ["Logout"]}}`},
		{Name: "own-sign-out", OnOwnBus: true, Function: "on-logout", Pattern: `{
			"source": ["nightshift"], "detail-type": ["Nightshift Signed Out", "Nightshift Notebook Closed", "Nightshift Kernel Stopped"]}`},
		{Name: "identity", Function: "on-revocation", Identity: true, Pattern: `{
			"source": [{"prefix": "aws."}], "detail-type": [{"suffix": " via CloudTrail"}],
			"detail": {
				"eventSource": ["sso.amazonaws.com", "sso-directory.amazonaws.com", "identitystore.amazonaws.com",
					"identitystore-scim.amazonaws.com", "identitystore-auth.amazonaws.com", "signin.amazonaws.com"],
				"eventName": [{"anything-but": ["Logout"]}]}}`},
		{Name: "own-revocation", OnOwnBus: true, Function: "on-revocation", Pattern: `{
			"source": ["nightshift"], "detail-type": ["Nightshift Revoked", "Nightshift User Disabled", "Nightshift User Enabled",
				"Nightshift User Deleted", "Nightshift Access Removed", "Nightshift Stop Requested",
				{"anything-but": ["Nightshift Signed Out", "Nightshift Notebook Closed", "Nightshift Kernel Stopped",
					"Nightshift Session Opened", "Nightshift Session Ending", "Nightshift Session Ended",
					"Nightshift Notice", "Nightshift Alert", "Nightshift Orphan Found"]}]}`},
		{Name: "births", Function: "on-run-event", Identity: true, Engines: true, Pattern: `{
			"source": [{"prefix": "aws."}], "detail-type": ["AWS API Call via CloudTrail"],
			"detail": {
				"eventSource": ["sso-oauth.amazonaws.com", "sagemaker.amazonaws.com", "emr-containers.amazonaws.com", "elasticmapreduce.amazonaws.com"],
				"eventName": ["CreateTokenWithIAM", "CreateTrainingJob", "CreateProcessingJob", "StartPipelineExecution", "StartJobRun", "StartNotebookExecution",
					"CreateTransformJob", "CreateHyperParameterTuningJob", "UpdateDomain"]}}`},
		{Name: "run-states", Function: "on-run-event", Engines: true, Pattern: `{
			"source": ["aws.sagemaker", "aws.emr-containers", "aws.emr"],
			"detail-type": ["SageMaker Training Job State Change", "SageMaker Processing Job State Change",
				"SageMaker Model Building Pipeline Execution Status Change", "SageMaker Model Building Pipeline Execution Step Status Change",
				"EMR Job Run State Change", "EmrContainers Job Run State Change", "EMR Cluster State Change"]}`},
		{Name: "executions", Function: "on-run-event", Pattern: `{
			"source": ["aws.states"], "detail-type": ["Step Functions Execution Status Change"],
			"detail": {"status": ["ABORTED", "TIMED_OUT", "FAILED"]}}`},
	}
}

// The queue before each event function: what it does with an event that its
// function cannot take.
const (
	QueueRetentionDays  = 14
	QueueVisibility     = 90  // seconds before a failed event is delivered again
	QueueReceivesMax    = 500 // deliveries before it goes to the dead-letter queue, hours of outage
	QueueMaxConcurrency = 10
)
