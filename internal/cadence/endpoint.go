package cadence

import "time"

// Endpoint is how one endpoint may be used: how fast it takes stop requests, how
// much it lists at once, and how often it is listed.
type Endpoint struct {
	Stop     Rate // of stop requests; one drain keeps it (S2.6, S2.9)
	Parallel int  // stop requests under way at once
	// Page is the most runs that one page of a listing is asked for; 0: the
	// service gives pages of its own size.
	Page    int
	Young   time.Duration // between listings while a run is younger than YoungFor
	Settled time.Duration // between listings afterwards, and without live runs (S3.5a)
	// Forgets is how long runs may live on after their server has forgotten them in
	// a restart; until then their absence proves nothing. 0: it forgets none.
	Forgets time.Duration
}

// table is every endpoint's numbers, by the api part of its id; a deployment may
// replace them for one endpoint. All are listed as S3.5a says. Where a rate has a
// Floor, a stop request that is throttled slows the endpoint's others (Rate.Slow);
// each run is asked again all the same, for ever and as its turn comes (S2.6).
var table = map[string]Endpoint{
	// EMR on EKS service quotas: CancelJobRun has a bucket of 25, refilled by 1 a
	// second, for an account and region. That is published, so it is never slowed:
	// what throttles us then is what others cancel, who would only be given the rest.
	// ListJobRuns documents no page size.
	"emr-containers": {Stop: Rate{PerSecond: 1, Burst: 25}, Parallel: StopParallel, Young: Young, Settled: Settled},
	// SageMaker publishes no rates: 5 a second are ours, and a guess, so throttling
	// slows them, down to one each two seconds. Its API reference gives
	// 100 as the most of a page of ListTrainingJobs, ListProcessingJobs and
	// ListPipelineExecutions.
	"sagemaker": {Stop: Rate{PerSecond: 5, Burst: 10, Floor: 0.5}, Parallel: StopParallel, Page: 100, Young: Young, Settled: Settled},
	// Livy has no limit of its own: a DELETE blocks until the session is down, so
	// that what is under way at once is what counts; it has no word for throttling.
	// Its server gives pages of any size; 1,000 is ours. A Spark driver that has lost
	// its server ends after livy.rsc.server.idle-timeout, 10 minutes.
	"livy": {Stop: Rate{PerSecond: 10, Burst: 20}, Parallel: StopParallel, Page: 1000, Young: Young, Settled: Settled, Forgets: 10 * time.Minute},
	// Amazon EMR's quotas name no figure for StopNotebookExecution; most of what
	// they name is refilled by 0.5 a second with a burst of 5. That is a guess too:
	// throttling slows it, down to one each round of a drain. ListNotebookExecutions
	// takes no page size.
	"emr-notebook": {Stop: Rate{PerSecond: 0.5, Burst: 5, Floor: 0.2}, Parallel: StopParallel, Young: Young, Settled: Settled},
}

// Of is what holds for an endpoint, by the api part of its id, where nothing
// else is set. An api that nobody has a number for is treated as the slowest.
func Of(api string) Endpoint {
	if e, ok := table[api]; ok {
		return e
	}
	return table["emr-notebook"]
}

// APIs lists the apis that have numbers.
func APIs() []string { return []string{"emr-containers", "emr-notebook", "livy", "sagemaker"} }

// Next is the pause before the endpoint is listed again, given the age of its
// youngest live run (S4.2).
func (e Endpoint) Next(youngest time.Duration) time.Duration {
	if youngest < YoungFor {
		return e.Young
	}
	return e.Settled
}

// Capacity is how many live runs the endpoint may have so that all can be
// stopped within the promise (S2.9).
func (e Endpoint) Capacity() int { return int(capacityFor.Seconds() * e.Stop.PerSecond) }

// capacityFor is the part of the promised 15 minutes that is left for stop
// requests (S2.9): the rest is for news on its way and for runs to go down.
const capacityFor = 660 * time.Second

// StopParallel is how many stop requests may be under way at once on one
// endpoint: a Livy DELETE blocks until the session is down.
const StopParallel = 8

// The identity checks (S3.5b). Identity store: 20 calls a second for each API and
// store. Identity Center: 20 a second for all its APIs and callers together, of
// which half are left to openings and to people (Identity Center quotas).
// CloudTrail: LookupEvents 2 a second for an account and region (CloudTrail
// quotas).
const (
	DirectoryPerSecond = 20
	CenterPerSecond    = 10
	TrailPerSecond     = 2

	// UsersAskedMax is up to how many users with live sessions are each asked for
	// by one call; beyond, the directory is listed (S3.5b).
	UsersAskedMax = 1_000
	// DirectoryPagesMax bounds the pages, of 100 users, of one listing. At the
	// limit the users not seen yet are asked for by a call each, in turn.
	DirectoryPagesMax = 300
	// AccessEach is how often each user's assignments are looked at.
	AccessEach = time.Hour
	// AccessMax bounds how many users' assignments one sweep looks at, each some
	// calls. At the limit the others wait for the next one, so that the round of
	// more than 60 times as many users takes longer than AccessEach.
	AccessMax = 60
	// AskedAtOnce is how many identity calls are under way at once.
	AskedAtOnce = 4
	// ContradictAfter is how old a fact about a user must be before a check that
	// says otherwise outdates it: the directory may answer with what was.
	ContradictAfter = 2 * time.Minute
	// AlertEach is how often an endpoint's state is announced again.
	AlertEach = time.Hour
)

// IdentityPeriod is how often each of so many users is asked for, one by one:
// max(60 s, users ÷ rate), in whole sweeps (S3.5b).
func IdentityPeriod(users int) time.Duration {
	each := time.Duration(users) * time.Second / DirectoryPerSecond
	return max(Sweep, (each+Sweep-1)/Sweep*Sweep)
}
