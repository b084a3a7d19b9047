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
	{1140, "late: a drain is killed before an outage and its successor in it, and each was replaced only after 5 minutes: a lease outlasted all tries of a round, not one (S2.6, decisions/0017)"},
	{583, "not late, but at 13 minutes, by the same"},
	{204181, "late: a kernel was stopped before anybody knew whose run it had been: the event was dropped, and the run went on for 23 minutes (S2.4, S3.7)"},
	{3687, "illegal, by the oracle: a token had proved a session background, and S1.8 ended it as one; the oracle went by its facts alone (S1.13)"},
	{3154, "late, by the oracle: after an outage a Livy server shows nothing of what it showed before, and its drivers may live on for ten minutes, documented (S2.1, S2.4)"},
	{500871, "illegal: the claim of a listed run could not be read, and the drain took that for the run's absence: its start was disproved, and it lived on (S2.4)"},
	{407972, "late: a listing that lacked pages was taken for a look of the settled cadence, and the next came 5 minutes later (S3.5a)"},
	{307882, "late, by the oracle: the same, of a run whose stop was carried out before the outage and its answer lost"},
	{89, "late, by the model: a restarted server forgot the sessions that lived and went on to list one that was over (decisions/0014)"},
	{486, "illegal: a server was restarted and accepted the stop of a session that it had forgotten; its absence was then taken for ours, and its driver lived on (S2.1)"},
	{440, "illegal: a forgotten session had been idle, which was taken for Livy's own collecting of it; its driver lived on (S2.1)"},
	{601, "illegal: what began since a restart was taken for a survivor of it (S2.1)"},
	{1, "illegal: a session that was forgotten when it was two seconds old, and in no listing before, counted for nothing (S2.1)"},
	{4686, "late: a stop that was accepted while listings failed was not noted, and its success was then taken for a restart (S2.1)"},
	{8681, "late: throttled listings were taken for a server's silence, and what it forgot a second time kept those waiting that it had forgotten before: 20 minutes (S2.1)"},
	{4201, "illegal: whoever noted that a restarted server answered again died before he noted that it had forgotten its sessions (S2.1)"},
	{12436, "illegal: a session that was too young to be in the last look was held to have been in it; a restart was seen where there was none, and the real one, in those ten minutes, was not (S2.1)"},
	{12729, "illegal: a run that was asked for just before a look was made just after a restart, and was taken for a survivor of it (S2.1)"},
	{20894, "illegal: a session that began between two looks was forgotten by a restart between them (S2.1)"},
	{15451, "late: in doubt no look was complete, so that nothing that was listed then could disprove a second restart: 21 minutes (S2.1)"},
	{12081, "late: what was seen at work by the last look, and is there, was not taken for a survivor because it was young then (S2.1)"},
	{20163, "illegal: a session that was forgotten seconds after its start, and in no listing, was held to be survived by what began after it (S2.1)"},
	{51013, "late, by the oracle: after an outage nothing is there that was listed before, because nothing was (S2.1)"},
	{8100, "lost, by the oracle: an idle session that a restarted server forgot is called ended, documented (decisions/0014)"},
	{32000, "late: a restart that was told of an endpoint kept those waiting who came after it: 19 minutes (S2.1)"},
	{106818, "late: the same, after an outage, of a start that nobody saw"},
	{126210, "late: two restarts followed each other, and what the first forgot waited for the second (S2.1)"},
	{100788, "illegal: a session that was too young to be judged when the listing came was old enough when it was looked at for itself (S2.1)"},
	{110574, "illegal: a look failed midway, and those whom it had not noted as missing were held to have been in it (S2.1)"},
	{100476, "illegal: an adopted run counted as too young to be missing, and as seen at work by the very listing that lacked it (S2.1)"},
	{136760, "illegal: the index did not have the note yet that a session is missing, a moment after a listing that made it (S2.1)"},
	{148281, "late: a check found a user enabled, said since now, and so outdated that access had been removed before: 26 minutes (S2.17)"},
	{166577, "late: the lease of a drain was taken three times and nobody heard it, so that nobody started the drain (S2.6)"},
	{129651, "late: whether access was removed was throttled, and asked again only when its queue brought the event again, each 90 seconds (S2.1)"},
	{114772, "late, by the oracle: a run's owner ended it before the next listing, where nothing shows that its server was not restarted (decisions/0014)"},
	{135582, "illegal: a server was restarted while its listings were throttled, which was taken for a sign of life (S2.1)"},
	{16321, "illegal: a start was tried again after a restart, and the newest try was taken for the first: what began between them was held to survive it (S2.1, S2.4)"},
	{39226, "late: looks of an endpoint without sessions were throttled, one a minute, for eleven minutes: a run whose user was deleted was adopted too late (S3.5a)"},
	{51873, "late: an adopted run was held to be too young to be missing, although a listing had shown it (S2.1)"},
	{61277, "illegal, by the oracle: an outage kept everybody from seeing that a run runs"},
	{174453, "illegal, by the oracle: a replay failed on a token, and the next was not waited for (S1.13)"},
}
