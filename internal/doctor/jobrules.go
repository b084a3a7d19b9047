package doctor

import (
	"fmt"
	"time"

	"nightshift/internal/network"
	"nightshift/internal/workload"
)

// Job is a run that is to be started, by the input of the machine run.
type Job struct {
	Name   string
	Engine workload.Engine
	Fault  string // what is wrong with its request; "" for nothing
	// InVPC says that it names a network; Network and Net are then what it needs and
	// what there is.
	InVPC   bool
	Network network.Job
	Net     network.Facts
	// Role is its execution role; "" where its engine has none to check.
	Role  string
	Trust Fact[string]
	// Checkpoint is where it keeps checkpoints; Missing what to set where it keeps
	// none.
	Checkpoint, Missing string
	MaxRuntime          time.Duration // 0: not given
	Instances           int
	InstanceType        string
	Quota               Fact[float64] // of instances of that type for that kind of job
	QuotaName           string
	// Cluster is the state of its virtual cluster; only EMR on EKS has one.
	Cluster     Fact[string]
	ClusterName string
}

// called are the services that code in a job commonly calls besides S3.
var called = []string{"logs", "monitoring", "sagemaker.api", "sts"}

var jobRules = []rule[Job]{
	{
		"request", "The request can be read", "",
		nil, func(j Job) []verdict {
			if j.Fault != "" {
				return []verdict{bad("spec", "It cannot be read: "+j.Fault+".", "Mend it as the service's API reference says.")}
			}
			return []verdict{good("", "It asks for a run of "+string(j.Engine)+".")}
		},
	},
	{
		"", "The job's network: subnets and groups in one VPC, two free addresses for each instance, a route to S3, names that resolve, groups and network ACLs that let it work", "S6.1, S6.2, S6.3",
		[]string{"ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints"},
		func(j Job) []verdict {
			switch {
			case !j.single():
				return nil // the cluster's network, or that of each step
			case !j.InVPC:
				v := good("", "It names no VPC: SageMaker's own network is used.")
				v.name = "network"
				return []verdict{v}
			}
			return already(append(network.Preflight(j.Network, j.Net), network.Services(j.Network, j.Net, called...)...))
		},
	},
	{
		"execution-role-trust", "The job's execution role lets SageMaker assume it with its user's context", "SageMaker developer guide, trusted identity propagation: sts:AssumeRole and sts:SetContext",
		[]string{"iam:GetRole"},
		func(j Job) []verdict {
			switch {
			case !j.single():
				return nil
			case j.Role == "":
				return []verdict{bad("RoleArn", "The request names no role.", "Name the role that the job is to run as.")}
			}
			return of(j.Role, j.Trust, func(policy string) []verdict { return trusted(j.Role, policy, sagemaker) })
		},
	},
	{
		"checkpoint", "The job can be started again from where it was when its session ended", "S4.4",
		nil, func(j Job) []verdict {
			switch {
			case j.Missing != "":
				return []verdict{caution("", "It keeps no checkpoints: where its session ends, its work is lost.", j.Missing)}
			case j.Checkpoint == "":
				return []verdict{good("", "The service itself knows how far it got.")}
			}
			return []verdict{good(j.Checkpoint, "It can be started again from there.")}
		},
	},
	{
		"max-runtime", "The job's own limit is one that its engine allows, and is chosen", "S1.9, SageMaker API reference, StoppingCondition",
		nil, func(j Job) []verdict {
			most := j.Engine.Cap()
			switch {
			case most == 0:
				return nil
			case j.MaxRuntime > most:
				return []verdict{bad("MaxRuntimeInSeconds", fmt.Sprintf("It is %s; SageMaker allows %s.", j.MaxRuntime, most), "Set it to less.")}
			case j.MaxRuntime == 0:
				return []verdict{caution("MaxRuntimeInSeconds", "It is not given: SageMaker ends the job after a day, background session or not.", "Give StoppingCondition.MaxRuntimeInSeconds.")}
			}
			return []verdict{good("MaxRuntimeInSeconds", "It is "+j.MaxRuntime.String()+".")}
		},
	},
	{
		"instance-quota", "The account may have the job's instances", "S7.2 quotas",
		[]string{"servicequotas:ListServiceQuotas"},
		func(j Job) []verdict {
			switch {
			case !j.single():
				return nil
			case j.InstanceType == "":
				return []verdict{untold("", "the request does not name one type of instance", "Compare its groups of instances with Service Quotas, Amazon SageMaker.")}
			}
			return of(j.QuotaName, j.Quota, func(most float64) []verdict {
				said := fmt.Sprintf("The job asks for %d; the account may have %g at once.", j.Instances, most)
				if float64(j.Instances) > most {
					return []verdict{bad(j.QuotaName, said, "Ask for more: Service Quotas, Amazon SageMaker, "+j.QuotaName+".")}
				}
				return []verdict{good(j.QuotaName, said)}
			})
		},
	},
	{
		"virtual-cluster", "The job's virtual cluster takes job runs", "S4.3",
		[]string{"emr-containers:DescribeVirtualCluster"},
		func(j Job) []verdict {
			if j.Engine != workload.EMRContainers {
				return nil
			}
			return of(j.ClusterName, j.Cluster, func(state string) []verdict {
				if state == "RUNNING" {
					return []verdict{good(j.ClusterName, "It is RUNNING.")}
				}
				if state == "" {
					state = "not there"
				}
				return []verdict{bad(j.ClusterName, "It is "+state+".", "Name one that is RUNNING (aws emr-containers list-virtual-clusters), or make one: the machine create-virtual-cluster.")}
			})
		},
	},
}

// single is whether the run is one job of SageMaker's, whose request says all.
func (j Job) single() bool {
	return j.Engine == workload.SageMakerTraining || j.Engine == workload.SageMakerProcessing
}
