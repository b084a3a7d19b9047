package account

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/aws-sdk-go-v2/service/emrcontainers"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	sagemakertypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"nightshift/internal/cluster"
	"nightshift/internal/config"
	"nightshift/internal/doctor"
	"nightshift/internal/network"
	"nightshift/internal/session"
	"nightshift/internal/vpc"
	"nightshift/internal/workload"
)

// studioTag begins the tags of what SageMaker Unified Studio provisions (its
// administrator guide, project resource tags).
const studioTag = "AmazonDataZone"

// Cluster reads an EMR cluster on EC2. said is what Nightshift was told of it, nil:
// it does not tend it.
func (r *Reader) Cluster(ctx context.Context, id string, said *config.Endpoint) doctor.Cluster {
	c := doctor.Cluster{ID: id, Said: said, Facts: cluster.Cluster{Known: true}, Application: doctor.Application{Of: "EMR's"}}
	api := emr.NewFromConfig(r.conf)
	out, err := api.DescribeCluster(ctx, &emr.DescribeClusterInput{ClusterId: &id})
	if err != nil || out.Cluster == nil {
		c.State = doctor.Unread[string](why("elasticmapreduce:DescribeCluster", err))
		if is(err, "InvalidRequestException") && strings.Contains(err.Error(), "is not valid") {
			c.State = doctor.Read("")
		}
		none := doctor.Unread[string]("the cluster could not be read")
		c.Document, c.Profile, c.Trust = none, none, none
		return c
	}
	d := out.Cluster
	if d.Status != nil {
		c.State = doctor.Read(string(d.Status.State))
	}
	c.Facts.ReleaseLabel = text(d.ReleaseLabel)
	c.Facts.Classifications = classifications(d.Configurations)
	c.Facts.UnifiedStudioCluster = session.Off
	for _, t := range d.Tags {
		if strings.HasPrefix(text(t.Key), studioTag) {
			c.Facts.UnifiedStudioCluster = session.On
		}
	}
	c.Facts.Masters = r.masters(ctx, api, d)
	c.Facts.BootstrapConfirmed = r.bootstrap(ctx, api, id)
	c.Document = r.document(ctx, api, text(d.SecurityConfiguration))
	if d.Ec2InstanceAttributes != nil {
		c.Profile = read("iam:GetInstanceProfile", func() (string, error) { return r.profile(ctx, text(d.Ec2InstanceAttributes.IamInstanceProfile)) })
	}
	conf, _ := cluster.Read([]byte(c.Document.Value)) // what is wrong with it, a rule says
	c.Trust = doctor.Unread[string]("the security configuration names no role")
	if conf.RoleARN != "" {
		c.Trust = read("iam:GetRole", func() (string, error) { return r.trust(ctx, conf.RoleARN) })
	}
	app := conf.ApplicationARN
	if app == "" && said != nil {
		app = said.ApplicationARN
	}
	c.Application = r.application(ctx, app, "EMR's")
	return c
}

// read makes a fact of a call.
func read[T any](action string, call func() (T, error)) doctor.Fact[T] {
	v, err := call()
	if err != nil {
		return doctor.Unread[T](why(action, err))
	}
	return doctor.Read(v)
}

func classifications(all []emrtypes.Configuration) []cluster.Classification {
	out := []cluster.Classification{}
	for _, c := range all {
		out = append(out, cluster.Classification{Classification: text(c.Classification), Properties: c.Properties})
		out = append(out, classifications(c.Configurations)...)
	}
	return out
}

// masters counts the primary nodes that are there; 0 is unknown.
func (r *Reader) masters(ctx context.Context, api *emr.Client, c *emrtypes.Cluster) int {
	in := &emr.ListInstancesInput{ClusterId: c.Id, InstanceStates: []emrtypes.InstanceState{
		emrtypes.InstanceStateAwaitingFulfillment, emrtypes.InstanceStateProvisioning, emrtypes.InstanceStateBootstrapping, emrtypes.InstanceStateRunning,
	}}
	if c.InstanceCollectionType == emrtypes.InstanceCollectionTypeInstanceFleet {
		in.InstanceFleetType = emrtypes.InstanceFleetTypeMaster
	} else {
		in.InstanceGroupTypes = []emrtypes.InstanceGroupType{emrtypes.InstanceGroupTypeMaster}
	}
	out, err := api.ListInstances(ctx, in) // a cluster has three at most: one page
	if err != nil {
		return 0
	}
	return len(out.Instances)
}

// bootstrap says whether the script that release 7.11 needs ran: where no script
// ran at all, it did not; else its name does not tell, for AWS Support gives it.
func (r *Reader) bootstrap(ctx context.Context, api *emr.Client, id string) session.Tri {
	out, err := api.ListBootstrapActions(ctx, &emr.ListBootstrapActionsInput{ClusterId: &id})
	if err != nil || len(out.BootstrapActions) > 0 {
		return session.Unknown
	}
	return session.Off
}

func (r *Reader) document(ctx context.Context, api *emr.Client, name string) doctor.Fact[string] {
	if name == "" {
		return doctor.Read("")
	}
	return read("elasticmapreduce:DescribeSecurityConfiguration", func() (string, error) {
		out, err := api.DescribeSecurityConfiguration(ctx, &emr.DescribeSecurityConfigurationInput{Name: &name})
		if err != nil {
			return "", err
		}
		return text(out.SecurityConfiguration), nil
	})
}

// Clusters are the ids of the clusters that Nightshift tends.
func Clusters(a doctor.Account) []string {
	var ids []string
	for _, e := range a.Settings.Value.Endpoints {
		if id, is := strings.CutPrefix(e.ID, "livy/"); is && strings.HasPrefix(id, "j-") {
			ids = append(ids, id)
		}
	}
	return ids
}

// domainsMost bounds how many domains are looked at: an account has a few.
const domainsMost = 20

// Domains lists the domains of the account in its Region.
func (r *Reader) Domains(ctx context.Context) doctor.Fact[[]string] {
	return read("sagemaker:ListDomains", func() ([]string, error) {
		ids := []string{}
		pages := sagemaker.NewListDomainsPaginator(sagemaker.NewFromConfig(r.conf), &sagemaker.ListDomainsInput{})
		for pages.HasMorePages() && len(ids) < domainsMost {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, d := range out.Domains {
				ids = append(ids, text(d.DomainId))
			}
		}
		return ids[:min(len(ids), domainsMost)], nil
	})
}

// Domain reads a domain of SageMaker Studio.
func (r *Reader) Domain(ctx context.Context, id string) doctor.Domain {
	d := doctor.Domain{ID: id, Region: r.conf.Region, Application: doctor.Application{Of: "the domain's"}, Home: r.regions(ctx)}
	api := sagemaker.NewFromConfig(r.conf)
	out, err := api.DescribeDomain(ctx, &sagemaker.DescribeDomainInput{DomainId: &id})
	switch {
	case is(err, "ResourceNotFound", "ResourceNotFoundException"):
		d.Status = doctor.Read("")
		return d
	case err != nil:
		d.Status = doctor.Unread[string](why("sagemaker:DescribeDomain", err))
		return d
	}
	d.Status, d.Auth, d.Propagation = doctor.Read(string(out.Status)), string(out.AuthMode), propagation(out)
	d.Application = r.application(ctx, text(out.SingleSignOnApplicationArn), "the domain's")
	if out.DefaultUserSettings != nil {
		d.Role = text(out.DefaultUserSettings.ExecutionRole)
	}
	d.Trust = r.roleTrust(ctx, d.Role)
	d.Remote = read("sagemaker:ListSpaces", func() ([]string, error) { return r.remote(ctx, api, id) })
	return d
}

// propagation is off where it was never set; what is neither on nor off, and what a
// domain says that is still being made or changed, is unknown.
func propagation(d *sagemaker.DescribeDomainOutput) session.Tri {
	if d.Status == sagemakertypes.DomainStatusPending || d.Status == sagemakertypes.DomainStatusUpdating {
		return session.Unknown
	}
	if d.DomainSettings == nil || d.DomainSettings.TrustedIdentityPropagationSettings == nil {
		return session.Off
	}
	switch d.DomainSettings.TrustedIdentityPropagationSettings.Status {
	case sagemakertypes.FeatureStatusEnabled:
		return session.On
	case sagemakertypes.FeatureStatusDisabled:
		return session.Off
	}
	return session.Unknown
}

func (r *Reader) roleTrust(ctx context.Context, role string) doctor.Fact[string] {
	if role == "" {
		return doctor.Unread[string]("no execution role is named")
	}
	return read("iam:GetRole", func() (string, error) { return r.trust(ctx, role) })
}

// regions are those in which Identity Center is, as seen from the account's and
// from its own.
func (r *Reader) regions(ctx context.Context) doctor.Fact[[]string] {
	own := r.instances(ctx)
	if !own.Known {
		return doctor.Unread[[]string](own.Why)
	}
	all := []string{}
	for _, i := range own.Value {
		all = append(all, i.Regions...)
	}
	return doctor.Read(all)
}

// remote are the names of the spaces that admit remote access.
func (r *Reader) remote(ctx context.Context, api *sagemaker.Client, id string) ([]string, error) {
	all := []string{}
	pages := sagemaker.NewListSpacesPaginator(api, &sagemaker.ListSpacesInput{DomainIdEquals: &id})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range out.Spaces {
			if s.SpaceSettingsSummary != nil && s.SpaceSettingsSummary.RemoteAccess == sagemakertypes.FeatureStatusEnabled {
				all = append(all, text(s.SpaceName))
			}
		}
	}
	return all, nil
}

// asked is what is read of a request, for the engines whose jobs are checked.
type asked struct {
	RoleArn, VirtualClusterID string
	StoppingCondition         struct{ MaxRuntimeInSeconds int64 }
	ProcessingResources       struct{ ClusterConfig hardware }
	ResourceConfig            hardware
}

type hardware struct {
	InstanceType  string
	InstanceCount int
}

// Job reads what a run's request needs. name is for people.
func (r *Reader) Job(ctx context.Context, name string, engine workload.Engine, spec []byte) (doctor.Job, error) {
	j := doctor.Job{Name: name, Engine: engine}
	var in asked
	if err := json.Unmarshal(spec, &in); err != nil {
		return j, err
	}
	switch engine {
	case workload.SageMakerTraining, workload.SageMakerProcessing:
		j.Role, j.MaxRuntime = in.RoleArn, time.Duration(in.StoppingCondition.MaxRuntimeInSeconds)*time.Second
		j.Trust = r.roleTrust(ctx, j.Role)
		at, what := in.ResourceConfig, "training"
		if engine == workload.SageMakerProcessing {
			at, what = in.ProcessingResources.ClusterConfig, "processing"
		}
		if j.InstanceType, j.Instances = at.InstanceType, at.InstanceCount; j.InstanceType != "" {
			j.QuotaName = j.InstanceType + " for " + what + " job usage"
			j.Quota = read("servicequotas:ListServiceQuotas", func() (float64, error) { return r.quota(ctx, "sagemaker", j.QuotaName) })
		}
		return j, r.net(ctx, &j, spec)
	case workload.EMRContainers:
		j.ClusterName = in.VirtualClusterID
		j.Cluster = read("emr-containers:DescribeVirtualCluster", func() (string, error) {
			out, err := emrcontainers.NewFromConfig(r.conf).DescribeVirtualCluster(ctx, &emrcontainers.DescribeVirtualClusterInput{Id: aws.String(in.VirtualClusterID)})
			if is(err, "ResourceNotFoundException") || err == nil && out.VirtualCluster == nil {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			return string(out.VirtualCluster.State), nil
		})
	case workload.SageMakerPipeline, workload.Livy, workload.EMRNotebook:
	}
	return j, nil
}

// net reads the network that a job names.
func (r *Reader) net(ctx context.Context, j *doctor.Job, spec []byte) error {
	needs, err := vpc.JobOf(spec)
	if err != nil || len(needs.Subnets)+len(needs.Groups) == 0 {
		return err
	}
	j.InVPC, j.Network = true, needs
	facts, err := vpc.Read(ctx, ec2.NewFromConfig(r.conf), needs)
	if err != nil {
		// What is missing is unknown, with the reason.
		facts = network.Facts{Failed: map[string]string{}}
		for _, what := range []string{"subnets", "groups", "vpcs", "tables", "endpoints", "acls"} {
			facts.Failed[what] = err.Error()
		}
	}
	facts.Planned = -1 // Nightshift's preflight counts them, when the job starts
	j.Net = facts
	return nil
}
