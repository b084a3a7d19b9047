package stack

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsemr"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"nightshift/internal/cluster"
	"nightshift/internal/notebook"
)

// clusterSettings are what is chosen of clusters for background sessions (S7.1).
type clusterSettings struct {
	Certificates string // s3://…; "": no security configuration
	Instance     string
	Assignment   bool
	Background   bool
	Try          bool
	Subnet       string
	Release      string
	Bootstrap    string // s3://… of AWS Support's script
	Logs         string // s3://…
}

var (
	zipForm     = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+\.zip$`)
	objectForm  = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/\S*[^\s/]$`)
	folderForm  = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(\S*/)?$`)
	releaseForm = regexp.MustCompile(`^emr-(7\.(1[1-9]|[2-9]\d)\.\d+|([89]|\d{2})\.\d+\.\d+)$`)
	centerForm  = regexp.MustCompile(`^arn:aws[a-z-]*:sso:::instance/(sso)?ins-[a-zA-Z0-9-.]{16}$`)
)

const (
	// tryType is the smallest type that EMR and Livy run well on.
	tryType = "m5.xlarge"
	// tryIdle ends a cluster that nobody tries any more.
	tryIdle = 2 * time.Hour
	// livyIdle is Livy's idle limit there; it is EMR's own default.
	livyIdle = 8 * time.Hour
)

func clusterKeys() []Key {
	return []Key{
		{"clusterCertificates", "none", "s3://<bucket>/<key>.zip", "the certificates of in-transit encryption: with it the stack has an EMR security configuration with Identity Center, its role, and the managed policy <stackName>-cluster-creator"},
		{"clusterInstance", "the account's own", "the ARN of an Identity Center instance", "of that security configuration"},
		{"clusterBackground", "true", "true or false", "whether it enables user background sessions; it is always written, for unset is off"},
		{"clusterAssignment", "false", "true or false", "whether only assigned users may use its application"},
		{"clusterTry", "false", "true or false", "a cluster of one node with that security configuration, for trying: Spark and Livy, impersonation and skip-busy; it ends when nobody has used it for 2 hours"},
		{"clusterSubnet", "none; needed with clusterTry", "the id of a subnet", "where that cluster runs; not one of `vpc`, whose S3 endpoint denies the repositories that EMR installs from"},
		{"clusterLogs", "none; needed with clusterTry", "s3://<bucket>/ or s3://<bucket>/<folder>/", "where its logs go"},
		{"clusterRelease", "emr-7.12.0", `a release label from emr-7.11.0 on`, "of that cluster"},
		{"clusterBootstrap", "none; needed with emr-7.11", "s3://<bucket>/<key>", "the bootstrap action that user background sessions need with exactly 7.11; AWS Support gives the script"},
	}
}

// cluster reads what is chosen of clusters.
func (r *reader) cluster(s *Settings) {
	c := clusterSettings{
		Certificates: r.text("clusterCertificates", "", zipForm), Instance: r.text("clusterInstance", "", centerForm), Assignment: r.truth("clusterAssignment"),
		Background: r.oneOf("clusterBackground", "true", []string{"true", "false"}) == "true", Try: r.truth("clusterTry"), Subnet: r.text("clusterSubnet", "", subnetForm),
		Release: r.text("clusterRelease", "emr-7.12.0", releaseForm), Bootstrap: r.text("clusterBootstrap", "", objectForm), Logs: r.text("clusterLogs", "", folderForm),
	}
	if c.Try {
		for key, v := range map[string]string{"clusterCertificates": c.Certificates, "clusterSubnet": c.Subnet, "clusterLogs": c.Logs} {
			if v == "" && r.raw(key) == "" {
				r.refuse(key, "is not given, and clusterTry is true")
			}
		}
	}
	// Exactly 7.11 needs the script, and no other release must be given it.
	if needs := strings.HasPrefix(c.Release, "emr-7.11."); needs && c.Bootstrap == "" && c.Background && r.raw("clusterBootstrap") == "" {
		r.refuse("clusterBootstrap", "is not given, and clusterRelease is %s", c.Release)
	} else if !needs && c.Bootstrap != "" {
		r.refuse("clusterBootstrap", "is given, and clusterRelease is %s", c.Release)
	}
	if c.Certificates == "" && (c.Instance != "" || c.Assignment) {
		r.refuse("clusterCertificates", "is not given, and clusterInstance or clusterAssignment is")
	}
	s.Cluster = c
}

// addCluster makes the security configuration and what it needs, where the
// certificates are given, and the cluster for trying where that is asked for.
func (d *deployment) addCluster() {
	c := d.Cluster
	if c.Certificates == "" {
		return
	}
	nodes := awsiam.NewRole(d.stack, text("ClusterNodes"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(text("ec2.amazonaws.com"), nil), Description: text("Nodes of EMR clusters with Identity Center"),
	})
	identity := d.identityRole(nodes)
	conf := awsemr.NewCfnSecurityConfiguration(d.stack, text("ClusterSecurity"), &awsemr.CfnSecurityConfigurationProps{
		Name: text(d.named("identity-center")), SecurityConfiguration: d.securityConfiguration(identity),
	})
	creator := d.managed("ClusterCreator", "cluster-creator", "For who creates EMR security configurations with user background sessions", document(cluster.CreatorPolicy()))
	accept(creator, "AwsSolutions-IAM5", "EMR makes the application of Identity Center whose setting is put while the configuration is created: its ARN is not known before.")
	d.grantNodes(nodes, identity)
	d.output("ClusterSecurityConfiguration", conf.Ref())
	d.output("ClusterNodesRole", nodes.RoleArn())
	d.output("ClusterClassifications", text(classificationsJSON()))
	if c.Try {
		d.tryCluster(conf, nodes)
	}
}

func classificationsJSON() string {
	out, err := json.Marshal(cluster.Classifications(livyIdle))
	if err != nil {
		panic(err) // strings always are JSON
	}
	return string(out)
}

// identityRole is the role of EMR's application in Identity Center, which the
// nodes assume with their user's context.
func (d *deployment) identityRole(nodes awsiam.Role) awsiam.Role {
	role := awsiam.NewRole(d.stack, text("ClusterIdentity"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewArnPrincipal(nodes.RoleArn()), Description: text("EMR's application of Identity Center"),
	})
	role.Node().DefaultChild().(awsiam.CfnRole).SetAssumeRolePolicyDocument(document(cluster.RoleTrust(*nodes.RoleArn())))
	var policy struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal(cluster.RolePolicy(), &policy); err != nil {
		panic(err) // our own package wrote it
	}
	for _, s := range policy.Statement {
		d.allow(role, grant{
			sid: "IdentityCenter", actions: s.Action, resources: anything(),
			why: "Tokens, the catalog's tables and grants are of users, and Lake Formation decides on them; the actions are those of EMR's management guide, Identity Center.",
		})
		for _, a := range s.Action {
			if strings.HasSuffix(a, "*") {
				accept(role, "AwsSolutions-IAM5", "The actions are those of EMR's management guide, Identity Center; which of them EMR calls is not documented.", "Action::"+a)
			}
		}
	}
	return role
}

// securityConfiguration is package cluster's document. It checks ARNs, which the
// role's is not before it is deployed: another stands in its place while it is
// rendered.
func (d *deployment) securityConfiguration(identity awsiam.Role) map[string]any {
	c := d.Cluster
	raw, err := cluster.Render(cluster.Settings{
		RoleARN: "arn:aws:iam::000000000000:role/until-deployed", CertificateS3: c.Certificates, InstanceARN: c.Instance, Background: c.Background, AssignmentRequired: c.Assignment,
	})
	if err != nil {
		panic(err) // Read has checked them
	}
	doc := document(raw)
	doc["AuthenticationConfiguration"].(map[string]any)["IdentityCenterConfiguration"].(map[string]any)["IAMRoleForEMRIdentityCenterApplicationARN"] = identity.RoleArn()
	return doc
}

// objectARN is the ARN of what an s3:// address names.
func objectARN(uri, suffix string) resource {
	return arn("arn:${P}:s3:::%s%s", strings.TrimPrefix(uri, "s3://"), suffix)
}

// grantNodes lets the nodes take on their users' identity and the runtime roles
// of sessions, and read what they are set up with.
func (d *deployment) grantNodes(nodes, identity awsiam.Role) {
	d.allow(nodes, grant{sid: "AsTheUser", actions: []string{"sts:AssumeRole", "sts:SetContext"}, resources: exact(identity.RoleArn())})
	roles := slices.Clone(d.runRoles)
	for _, e := range d.engines {
		if e.Livy.Role != "" {
			roles = append(roles, e.Livy.Role)
		}
	}
	slices.Sort(roles)
	d.allow(nodes, grant{sid: "RuntimeRoles", actions: []string{"sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"}, resources: exact(*texts(slices.Compact(roles)...)...)})
	reads := []resource{objectARN(d.Cluster.Certificates, "")}
	if d.Cluster.Bootstrap != "" {
		reads = append(reads, objectARN(d.Cluster.Bootstrap, ""))
	}
	d.allow(nodes, grant{sid: "SetUp", actions: []string{"s3:GetObject"}, resources: reads})
	if d.Cluster.Logs != "" {
		d.allow(nodes, grant{sid: "ClusterLogs", actions: []string{"s3:PutObject"}, resources: []resource{objectARN(d.Cluster.Logs, "*")}, why: "EMR names logs by cluster and node, below the folder that clusterLogs says."})
	}
}

// tryCluster is a cluster of one node that uses it all.
func (d *deployment) tryCluster(conf awsemr.CfnSecurityConfiguration, nodes awsiam.Role) {
	c := d.Cluster
	service := awsiam.NewRole(d.stack, text("ClusterService"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(text("elasticmapreduce.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}},
		}),
		Description:     text("EMR's service role of the cluster for trying"),
		ManagedPolicies: &[]awsiam.IManagedPolicy{awsiam.ManagedPolicy_FromAwsManagedPolicyName(text("service-role/AmazonEMRServicePolicy_v2"))},
	})
	accept(service, "AwsSolutions-IAM4", "AmazonEMRServicePolicy_v2 is AWS's own policy for EMR, kept up with what EMR does, and bound to resources with its tag (EMR management guide, service role).")
	d.allow(service, grant{sid: "PassNodes", actions: []string{"iam:PassRole"}, resources: exact(nodes.RoleArn()), condition: map[string]any{"StringEquals": map[string]any{"iam:PassedToService": "ec2.amazonaws.com"}}})
	profile := awsiam.NewCfnInstanceProfile(d.stack, text("ClusterProfile"), &awsiam.CfnInstanceProfileProps{Roles: list(nodes.RoleName())})
	props := &awsemr.CfnClusterProps{
		Name: text(d.named("try")), ReleaseLabel: text(c.Release), LogUri: text(c.Logs), JobFlowRole: profile.Ref(), ServiceRole: service.RoleName(), SecurityConfiguration: conf.Ref(),
		Applications:          list(&awsemr.CfnCluster_ApplicationProperty{Name: text("Spark")}, &awsemr.CfnCluster_ApplicationProperty{Name: text("Livy")}),
		Configurations:        configurations(),
		AutoTerminationPolicy: &awsemr.CfnCluster_AutoTerminationPolicyProperty{IdleTimeout: number(int(tryIdle / time.Second))},
		Instances: &awsemr.CfnCluster_JobFlowInstancesConfigProperty{
			MasterInstanceGroup: &awsemr.CfnCluster_InstanceGroupConfigProperty{InstanceCount: number(1), InstanceType: text(tryType)},
			Ec2SubnetId:         text(c.Subnet), KeepJobFlowAliveWhenNoSteps: yes, TerminationProtected: no,
		},
		Tags: &[]*awscdk.CfnTag{
			{Key: text("for-use-with-amazon-emr-managed-policies"), Value: text("true")},
			{Key: text(notebook.TagCostCenter), Value: text(d.named("try"))},
		},
	}
	if c.Bootstrap != "" {
		props.BootstrapActions = list(&awsemr.CfnCluster_BootstrapActionConfigProperty{
			Name: text("user-background-sessions"), ScriptBootstrapAction: &awsemr.CfnCluster_ScriptBootstrapActionConfigProperty{Path: text(c.Bootstrap)},
		})
	}
	made := awsemr.NewCfnCluster(d.stack, text("ClusterTry"), props)
	accept(made, "AwsSolutions-EMR4", "The cluster is for trying and ends when it is idle; disks are encrypted where a cluster is kept, with a key that its owner chooses.")
	accept(made, "AwsSolutions-EMR5", "It is encrypted in transit: the rule looks for EnableInTransitEncryption at the top of the security configuration, and not under EncryptionConfiguration, where EMR has it; a test of ours looks there.")
	accept(made, "AwsSolutions-EMR6", "Nobody logs in to its nodes: users come through Livy with Identity Center, and there is no key pair.")
	d.output("ClusterTryId", made.Ref())
}

// configurations are package cluster's classifications.
func configurations() *[]any {
	var all []any
	for _, c := range cluster.Classifications(livyIdle) {
		properties := map[string]*string{}
		for _, k := range slices.Sorted(maps.Keys(c.Properties)) {
			properties[k] = text(c.Properties[k])
		}
		all = append(all, &awsemr.CfnCluster_ConfigurationProperty{Classification: text(c.Classification), ConfigurationProperties: &properties})
	}
	return &all
}
