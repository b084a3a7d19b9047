package console

import (
	"strings"
	"testing"
	"time"

	"nightshift/internal/proof"
	"nightshift/internal/workload"
)

// TestProof: S8.4 stops, those on time, the worst; open ones by name.
func TestProof(t *testing.T) {
	w := newWorld(t)
	w.opens("u-ben", sagemaker)
	w.wants(202, admin, "POST", "/api/revocations", `{"target":{"user":"u-ben"}}`)
	a := w.wants(200, admin, "GET", "/api/proof", "")
	if a.at("stops") != 1.0 || a.at("open") != 1.0 || a.at("onTime") != 0.0 || a.at("holds") != true || a.at("shown", 0, "by") != "u-root" || a.at("shown", 0, "confirmed") != nil {
		t.Errorf("%s", a.raw)
	}
	w.now = w.now.Add(16 * time.Minute)
	if a = w.wants(200, admin, "GET", "/api/proof", ""); a.at("overdue") != 1.0 {
		t.Errorf("S2.1 a stop of 16 minutes ago is not overdue: %s", a.raw)
	}
	from := w.now.Format(time.RFC3339)
	if a = w.wants(200, admin, "GET", "/api/proof?from="+from, ""); a.at("stops") != 0.0 || a.at("from") != from {
		t.Errorf("%s", a.raw)
	}
}

// TestProofBounds: what is not shown is counted.
func TestProofBounds(t *testing.T) {
	r := proof.Report{More: 5}
	for range stopsShown + 3 {
		r.Stops = append(r.Stops, proof.Stop{Known: began})
	}
	for range faultsShown + 2 {
		r.Faults = append(r.Faults, proof.Fault{What: "it was changed"})
	}
	if v := proofOf(r); len(v.Shown) != stopsShown || v.LeftOut != 3 || len(v.Faults) != faultsShown || v.FaultsLeftOut != 7 || v.Holds {
		t.Errorf("%d stops and %d more, %d faults and %d more", len(v.Shown), v.LeftOut, len(v.Faults), v.FaultsLeftOut)
	}
}

// TestLinks: S4.6 each engine's runs link to their logs or their Spark UI.
func TestLinks(t *testing.T) {
	c := &call{Console: New(nil, Site{Account: "123456789012", Region: "eu-central-1"})}
	for _, l := range []struct {
		run  workload.Run
		want string // "": no link
	}{
		{workload.Run{Engine: workload.SageMakerTraining, Endpoint: sagemaker, ID: "training-job/churn-1"},
			"https://console.aws.amazon.com/cloudwatch/home?region=us-east-1#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FTrainingJobs$3FlogStreamNameFilter$3Dchurn-1$252F"},
		{workload.Run{Engine: workload.SageMakerProcessing, Endpoint: sagemaker, ID: "processing-job/a"}, "#/processing-jobs/a"},
		{workload.Run{Engine: workload.SageMakerProcessing, Endpoint: sagemaker, ID: "processing-job/a"}, "#metricsV2:graph=~();query=~'*7b*2faws*2fsagemaker*2fProcessingJobs*2cHost*7d*20a"},
		{workload.Run{Engine: workload.SageMakerPipeline, Endpoint: sagemaker, ID: "pipeline/churn/execution/x"}, "ProcessingJobs"},
		{workload.Run{Engine: workload.EMRContainers, Endpoint: onEKS, ID: "vc1/job1"}, "https://console.aws.amazon.com/emr/home?region=us-east-1#/eks/clusters/vc1"},
		{workload.Run{Engine: workload.Livy, Endpoint: "livy/j-1"}, "https://console.aws.amazon.com/emr/home?region=eu-central-1#/clusterDetails/j-1"},
		{workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/cn-north-1", ID: "ex-1", Cluster: "j-2"}, "https://console.amazonaws.cn/emr/home?region=cn-north-1#/clusterDetails/j-2"},
		{workload.Run{Engine: workload.EMRNotebook, Endpoint: "emr-notebook/123456789012/us-east-1", ID: "ex-1"}, ""},
		{workload.Run{Engine: workload.SageMakerTraining, Endpoint: sagemaker}, ""},
	} {
		var found []string
		for _, x := range c.links(l.run) {
			found = append(found, x.URL)
		}
		if text := strings.Join(found, " "); l.want == "" && text != "" || !strings.Contains(text, l.want) {
			t.Errorf("%s %s leads to %q, want %q", l.run.Engine, l.run.ID, text, l.want)
		}
	}
}
