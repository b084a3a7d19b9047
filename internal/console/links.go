package console

import (
	"net/url"
	"strings"

	"nightshift/internal/workload"
)

// linkView leads to where a run's logs or its Spark UI are (S4.6).
type linkView struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	Note string `json:"note,omitempty"`
}

// consoles are the hosts of AWS's console, by partition.
var consoles = map[string]string{"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}

// links are the pages of AWS's console that show a run's work. They lead to where
// an engine puts its logs by itself; what a start says of logs elsewhere is not
// recorded.
func (c *call) links(r workload.Run) []linkView {
	region := c.site.Region
	if part := strings.Split(r.Endpoint, "/"); len(part) == 3 {
		region = part[2]
	}
	page := func(service, path string) string {
		return "https://" + consoles[partition(region)] + "/" + service + "/home?region=" + url.QueryEscape(region) + "#" + path
	}
	logs := func(group, stream string) string {
		const slash, query, equals = "$252F", "$3F", "$3D" // as CloudWatch's console escapes them
		path := "logsV2:log-groups/log-group/" + strings.ReplaceAll("/aws/sagemaker/"+group, "/", slash)
		if stream != "" {
			path += query + "logStreamNameFilter" + equals + stream + slash
		}
		return page("cloudwatch", path)
	}
	// The console's own quoting of a search: /aws/…/Jobs,Host in braces, and the name.
	metrics := func(group, name string) linkView {
		return linkView{"Metrics in CloudWatch", page("cloudwatch", "metricsV2:graph=~();query=~'*7b"+strings.ReplaceAll("/aws/sagemaker/"+group, "/", "*2f")+"*2cHost*7d*20"+name), "its use of CPU, GPU, memory and disk, of each instance"}
	}
	kind, name, _ := strings.Cut(r.ID, "/")
	name, cluster := url.PathEscape(name), r.Cluster
	switch {
	case r.Engine == workload.Livy:
		cluster = strings.TrimPrefix(r.Endpoint, "livy/")
	case r.ID == "":
		return []linkView{}
	case r.Engine == workload.SageMakerTraining:
		return []linkView{{"Logs in CloudWatch", logs("TrainingJobs", name), ""}, metrics("TrainingJobs", name), {"The training job in SageMaker", page("sagemaker", "/jobs/"+name), ""}}
	case r.Engine == workload.SageMakerProcessing:
		return []linkView{{"Logs in CloudWatch", logs("ProcessingJobs", name), ""}, metrics("ProcessingJobs", name), {"The processing job in SageMaker", page("sagemaker", "/processing-jobs/"+name), ""}}
	case r.Engine == workload.SageMakerPipeline:
		return []linkView{{"Logs of training steps in CloudWatch", logs("TrainingJobs", ""), ""}, {"Logs of processing steps in CloudWatch", logs("ProcessingJobs", ""), ""}}
	case r.Engine == workload.EMRContainers:
		return []linkView{{"The virtual cluster in EMR", page("emr", "/eks/clusters/"+url.PathEscape(kind)), "choose the job run: its logs, its Spark UI and, when it is over, the history server"}}
	}
	if cluster == "" {
		return []linkView{}
	}
	return []linkView{{"The cluster in EMR", page("emr", "/clusterDetails/"+url.PathEscape(cluster)), "its applications: Spark UI (timeline, stages, DAG), history server and logs"}}
}
