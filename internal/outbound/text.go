package outbound

import (
	"strings"

	"nightshift/internal/app"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// text is what a person is told: the effect's own words where it has some. Why
// a session ends and where its duration is changed (S2.8) are the core's words.
func text(a app.Announcement) string {
	s := a.Session
	switch {
	case a.Effect.Text != "":
		return a.Effect.Text
	case a.Kind == OrphanFound:
		return nameOf(a.Orphan.Run) + " is alive and belongs to no session: nobody registered it, and its user is not known. It is not stopped."
	case a.Kind == SessionOpened:
		return nameOf(s.Run) + " " + prospect(s) + limit(s) + "."
	case a.Kind == SessionEnding, a.Kind == SessionEnded:
		return session.Explain(s)
	case a.Kind == Notice:
		return session.ExplainNotice(s, a.At)
	}
	return nameOf(s.Run) + ": " + alertName(a.Effect) + "."
}

// prospect says what the session's mode means to its user.
func prospect(s session.Session) string {
	switch s.Mode {
	case session.Background:
		return "goes on when its user signs out"
	case session.Interactive:
		return "ends when its user signs out"
	case session.Role:
		return "runs without a user's identity: a sign-out does not touch it"
	}
	return "is watched; whether it may outlive its user's sign-out is not known, so a sign-out does not stop it"
}

func limit(s session.Session) string {
	if s.Deadline.IsZero() {
		return ""
	}
	return "; at the latest it ends at " + written(s.Deadline) + ", by its " + strings.ReplaceAll(string(s.DeadlineSource), "-", " ")
}

// noticeName says what a notice is about: that the end is near, that it has come,
// or one of session's own names.
func noticeName(e session.Effect) string {
	switch {
	case e.Kind == session.Notify:
		return "ends"
	case e.Reason == session.NoticeLate, e.Reason == session.NoticeForgotten, e.Reason == app.NoticeMoved, e.Reason == app.NoticeCheckpoint:
		return e.Reason
	}
	return "end-near"
}

// alertName is the name of what an administrator should look at.
func alertName(e session.Effect) string {
	if e.Reason != "" {
		return e.Reason
	}
	return string(session.Alert)
}

// engineWords are the engines for people.
var engineWords = map[workload.Engine]string{
	workload.Livy:                "Livy session",
	workload.EMRContainers:       "EMR on EKS job run",
	workload.SageMakerTraining:   "SageMaker training job",
	workload.SageMakerProcessing: "SageMaker processing job",
	workload.SageMakerPipeline:   "SageMaker pipeline execution",
	workload.EMRNotebook:         "EMR notebook execution",
}

// nameOf is the run for people; SageMaker's ids repeat what the words say.
func nameOf(r workload.Run) string {
	words := engineWords[r.Engine]
	if words == "" {
		words = "Run"
	}
	id := r.ID
	for _, prefix := range []string{"training-job/", "processing-job/", "pipeline/"} {
		id = strings.TrimPrefix(id, prefix)
	}
	if id == "" {
		return words + " (not started yet)"
	}
	return words + " " + id
}
