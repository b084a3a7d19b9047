package sim

// Regression is a schedule that once broke a promise, and why. The history of a
// seed changes with the code; what it found is therefore also told as a scenario
// of its own (scenario_test.go) that does not.
type Regression struct {
	Seed uint64
	Why  string
}

// Regressions are played by every test run.
var Regressions = []Regression{
	{1042, "late: whoever dies between taking a drain's lease and starting it left the lease for 5 minutes; three in a row made a stop 16 minutes late (S2.6)"},
	{1473, "late: a drain is killed, and the next two to start one die with the lease in hand (S2.6)"},
	{1140, "late: a watch is killed, and until its lease has run out nobody lists its endpoint: a run that nobody registered is found 14 minutes late (S3.5a)"},
	{2223, "late: the same, at 15 minutes"},
	{11380, "illegal: a start that the engine throttles was disproved two minutes after its first try, while the next one was on its way: its run was born of an ended session, and stopped as a zombie (S2.4)"},
	{2441, "late: the same; the user had signed out ten minutes before the run was found"},
}
