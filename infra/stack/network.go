package stack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
)

// networkSettings are what is chosen of the VPC for processing jobs (S6).
type networkSettings struct {
	On         bool
	CIDR       netip.Prefix
	Zones      int
	Buckets    []string // that the S3 endpoint leads to; none: all
	DenyAL2023 bool
	NAT        bool
}

// The sizes that a VPC may have here: it is cut into four, of which a quarter is
// one zone's private subnet, and must hold a job.
const vpcBitsMin, vpcBitsMax = 16, 24

var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func networkKeys() []Key {
	return []Key{
		{"vpc", "false", "true or false", "make a VPC for processing jobs: private subnets, S3 by a gateway endpoint whose policy denies the package repositories of Amazon Linux and Amazon Linux 2, interface endpoints, a security group that admits itself, flow logs, and a bucket that only this VPC's endpoint may read and write"},
		{"vpcCidr", "10.64.0.0/16", "a private IPv4 network of 16 to 24 bits", "of that VPC; a quarter of it is each private subnet"},
		{"vpcZones", "2", "1, 2, 3", "zones with a private subnet each"},
		{"vpcBuckets", "[]; all buckets", "a JSON list of names of S3 buckets", "the only buckets that the S3 endpoint leads to, beside the VPC's own"},
		{"vpcDenyAmazonLinux2023", "false", "true or false", "let the S3 endpoint deny the repositories of Amazon Linux 2023 too"},
		{"vpcNat", "false", "true or false", "one NAT gateway, in the first zone, for services without an endpoint and for the internet"},
	}
}

// network reads what is chosen of the VPC.
func (r *reader) network(s *Settings) {
	n := networkSettings{On: r.truth("vpc"), Buckets: r.list("vpcBuckets", bucketForm), DenyAL2023: r.truth("vpcDenyAmazonLinux2023"), NAT: r.truth("vpcNat")}
	n.Zones, _ = strconv.Atoi(r.oneOf("vpcZones", "2", []string{"1", "2", "3"}))
	given := r.text("vpcCidr", "10.64.0.0/16", nil)
	cidr, err := netip.ParsePrefix(given)
	if err != nil || !cidr.Addr().Is4() || !cidr.Addr().IsPrivate() || cidr != cidr.Masked() || cidr.Bits() < vpcBitsMin || cidr.Bits() > vpcBitsMax {
		r.refuse("vpcCidr", "is %q", given)
	}
	n.CIDR = cidr
	for _, key := range []string{"vpcCidr", "vpcZones", "vpcBuckets", "vpcDenyAmazonLinux2023", "vpcNat"} {
		if !n.On && r.raw(key) != "" && r.raw(key) != "false" && r.raw(key) != "[]" {
			r.refuse("vpc", "is false, and %s is given", key)
		}
	}
	s.Network = n
}

// quarter is one of the four parts of the VPC: three for private subnets, the
// last for what is public.
func (n networkSettings) quarter(i int) netip.Prefix {
	a, bits := n.CIDR.Addr().As4(), n.CIDR.Bits()+2
	v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v += uint32(i) << (32 - bits) //nolint:gosec // 0 to 3
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), bits)
}

// services are those that functions in these subnets (livySubnets) and jobs call
// without a way to the internet. Identity Center and the identity store are not
// known to have endpoints: on-schedule and on-revocation need NAT for them.
func (d *deployment) services() []string {
	all := []string{"cloudtrail", "elasticmapreduce", "emr-containers", "events", "kms", "logs", "monitoring", "sagemaker.api", "secretsmanager", "states", "sts"}
	if d.Tracing {
		all = append(all, "xray")
	}
	return all
}

// addNetwork makes the VPC where it is asked for. L1, because the CDK's own VPC
// needs a look into the account for its zones. Its network ACL is the default
// one, which lets everything through: groups and endpoint policies decide.
func (d *deployment) addNetwork() {
	if !d.Network.On {
		return
	}
	vpc := awsec2.NewCfnVPC(d.stack, text("Vpc"), &awsec2.CfnVPCProps{
		CidrBlock: text(d.Network.CIDR.String()), EnableDnsSupport: yes, EnableDnsHostnames: yes, Tags: d.tags("jobs"),
	})
	table := awsec2.NewCfnRouteTable(d.stack, text("VpcPrivateTable"), &awsec2.CfnRouteTableProps{VpcId: vpc.AttrVpcId(), Tags: d.tags("jobs-private")})
	var subnets []any
	for i := range d.Network.Zones {
		s := d.subnet(vpc, fmt.Sprintf("VpcPrivate%d", i+1), i, d.Network.quarter(i), table)
		subnets = append(subnets, s.AttrSubnetId())
	}
	if d.Network.NAT {
		d.nat(vpc, table)
	}
	d.flowLog(vpc)
	jobs, ends := d.securityGroups(vpc)
	bucket := d.jobsBucket()
	s3 := awsec2.NewCfnVPCEndpoint(d.stack, text("VpcS3"), &awsec2.CfnVPCEndpointProps{
		VpcId: vpc.AttrVpcId(), ServiceName: service("s3"), VpcEndpointType: text("Gateway"), RouteTableIds: list(table.AttrRouteTableId()), PolicyDocument: d.s3Policy(bucket),
	})
	d.onlyFrom(bucket, s3)
	awsec2.NewCfnVPCEndpoint(d.stack, text("VpcDynamoDB"), &awsec2.CfnVPCEndpointProps{
		VpcId: vpc.AttrVpcId(), ServiceName: service("dynamodb"), VpcEndpointType: text("Gateway"), RouteTableIds: list(table.AttrRouteTableId()),
		PolicyDocument: policyOf(map[string]any{"Sid": "TablesOfThisAccount", "Effect": "Allow", "Principal": "*", "Action": "dynamodb:*", "Resource": arn("arn:${P}:dynamodb:${R}:${A}:table/*").arn}),
	})
	for _, name := range d.services() {
		awsec2.NewCfnVPCEndpoint(d.stack, text("VpcEndpoint-"+name), &awsec2.CfnVPCEndpointProps{
			VpcId: vpc.AttrVpcId(), ServiceName: service(name), VpcEndpointType: text("Interface"), PrivateDnsEnabled: yes,
			SubnetIds: &subnets, SecurityGroupIds: list(ends.AttrGroupId()),
		})
	}
	d.output("VpcSubnets", awscdk.Fn_Join(text(","), jsTexts(subnets)))
	d.output("VpcSecurityGroup", jobs.AttrGroupId())
	d.output("VpcBucketName", bucket.Ref())
}

func (d *deployment) output(name string, value *string) {
	awscdk.NewCfnOutput(d.stack, text(name), &awscdk.CfnOutputProps{Value: value})
}

// jsTexts is a list of tokens as the CDK's functions take it.
func jsTexts(tokens []any) *[]*string {
	all := make([]*string, len(tokens))
	for i, t := range tokens {
		all[i] = t.(*string)
	}
	return &all
}

func service(name string) *string {
	return awscdk.Fn_Sub(text("com.amazonaws.${AWS::Region}."+name), nil)
}

func (d *deployment) tags(name string) *[]*awscdk.CfnTag {
	return &[]*awscdk.CfnTag{{Key: text("Name"), Value: text(d.named(name))}}
}

func policyOf(statements ...any) map[string]any {
	return map[string]any{"Version": "2012-10-17", "Statement": statements}
}

func (d *deployment) subnet(vpc awsec2.CfnVPC, id string, zone int, cidr netip.Prefix, table awsec2.CfnRouteTable) awsec2.CfnSubnet {
	s := awsec2.NewCfnSubnet(d.stack, text(id), &awsec2.CfnSubnetProps{
		VpcId: vpc.AttrVpcId(), CidrBlock: text(cidr.String()), MapPublicIpOnLaunch: no, Tags: d.tags(id),
		AvailabilityZone: awscdk.Fn_Select(number(zone), awscdk.Fn_GetAzs(nil)),
	})
	awsec2.NewCfnSubnetRouteTableAssociation(d.stack, text(id+"Association"), &awsec2.CfnSubnetRouteTableAssociationProps{SubnetId: s.AttrSubnetId(), RouteTableId: table.AttrRouteTableId()})
	return s
}

// nat gives the private subnets a way out: one gateway, for it is billed by the
// hour; where its zone fails, what has no endpoint is not reached.
func (d *deployment) nat(vpc awsec2.CfnVPC, private awsec2.CfnRouteTable) {
	gateway := awsec2.NewCfnInternetGateway(d.stack, text("VpcGateway"), &awsec2.CfnInternetGatewayProps{Tags: d.tags("jobs")})
	attached := awsec2.NewCfnVPCGatewayAttachment(d.stack, text("VpcGatewayAttachment"), &awsec2.CfnVPCGatewayAttachmentProps{VpcId: vpc.AttrVpcId(), InternetGatewayId: gateway.AttrInternetGatewayId()})
	table := awsec2.NewCfnRouteTable(d.stack, text("VpcPublicTable"), &awsec2.CfnRouteTableProps{VpcId: vpc.AttrVpcId(), Tags: d.tags("jobs-public")})
	public := d.subnet(vpc, "VpcPublic", 0, d.Network.quarter(3), table)
	awsec2.NewCfnRoute(d.stack, text("VpcPublicRoute"), &awsec2.CfnRouteProps{
		RouteTableId: table.AttrRouteTableId(), DestinationCidrBlock: text("0.0.0.0/0"), GatewayId: gateway.AttrInternetGatewayId(),
	}).AddDependency(attached)
	address := awsec2.NewCfnEIP(d.stack, text("VpcNatAddress"), &awsec2.CfnEIPProps{Domain: text("vpc")})
	address.AddDependency(attached)
	n := awsec2.NewCfnNatGateway(d.stack, text("VpcNat"), &awsec2.CfnNatGatewayProps{SubnetId: public.AttrSubnetId(), AllocationId: address.AttrAllocationId(), Tags: d.tags("jobs")})
	awsec2.NewCfnRoute(d.stack, text("VpcNatRoute"), &awsec2.CfnRouteProps{
		RouteTableId: private.AttrRouteTableId(), DestinationCidrBlock: text("0.0.0.0/0"), NatGatewayId: n.AttrNatGatewayId(),
	})
}

func (d *deployment) flowLog(vpc awsec2.CfnVPC) {
	group := awslogs.NewLogGroup(d.stack, text("VpcFlowLogs"), &awslogs.LogGroupProps{
		LogGroupName: text("/aws/vpc/" + d.named("jobs")), Retention: d.retention(), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	role := awsiam.NewRole(d.stack, text("VpcFlowRole"), &awsiam.RoleProps{
		Description: text("Flow logs of the VPC for jobs"),
		AssumedBy: awsiam.NewServicePrincipal(text("vpc-flow-logs.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}},
		}),
	})
	d.allow(role, grant{sid: "FlowLog", actions: []string{"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"}, resources: exact(group.LogGroupArn())})
	awsec2.NewCfnFlowLog(d.stack, text("VpcFlowLog"), &awsec2.CfnFlowLogProps{
		ResourceId: vpc.AttrVpcId(), ResourceType: text("VPC"), TrafficType: text("ALL"), LogDestinationType: text("cloud-watch-logs"),
		LogGroupName: group.LogGroupName(), DeliverLogsPermissionArn: role.RoleArn(),
	})
}

// securityGroups are that of jobs, whose members reach each other on every port
// and call out on 443, and that of the interface endpoints.
func (d *deployment) securityGroups(vpc awsec2.CfnVPC) (jobs, ends awsec2.CfnSecurityGroup) {
	https := func(cidr, what string) (*awsec2.CfnSecurityGroup_IngressProperty, *awsec2.CfnSecurityGroup_EgressProperty) {
		return &awsec2.CfnSecurityGroup_IngressProperty{IpProtocol: text("tcp"), FromPort: number(443), ToPort: number(443), CidrIp: text(cidr), Description: text(what)},
			&awsec2.CfnSecurityGroup_EgressProperty{IpProtocol: text("tcp"), FromPort: number(443), ToPort: number(443), CidrIp: text(cidr), Description: text(what)}
	}
	// Where there is no NAT the routes lead to endpoints only, whatever the address.
	_, out := https("0.0.0.0/0", "S3 and the endpoints")
	jobs = awsec2.NewCfnSecurityGroup(d.stack, text("VpcJobs"), &awsec2.CfnSecurityGroupProps{
		VpcId: vpc.AttrVpcId(), GroupName: text(d.named("jobs")), GroupDescription: text("Processing jobs: members reach each other, and call out on 443"), SecurityGroupEgress: list(out),
	})
	awsec2.NewCfnSecurityGroupIngress(d.stack, text("VpcJobsFromThemselves"), &awsec2.CfnSecurityGroupIngressProps{
		GroupId: jobs.AttrGroupId(), SourceSecurityGroupId: jobs.AttrGroupId(), IpProtocol: text("-1"), Description: text("Instances of a distributed job"),
	})
	awsec2.NewCfnSecurityGroupEgress(d.stack, text("VpcJobsToThemselves"), &awsec2.CfnSecurityGroupEgressProps{
		GroupId: jobs.AttrGroupId(), DestinationSecurityGroupId: jobs.AttrGroupId(), IpProtocol: text("-1"), Description: text("Instances of a distributed job"),
	})
	in, answers := https(d.Network.CIDR.String(), "From inside the VPC")
	ends = awsec2.NewCfnSecurityGroup(d.stack, text("VpcEndpoints"), &awsec2.CfnSecurityGroupProps{
		VpcId: vpc.AttrVpcId(), GroupName: text(d.named("endpoints")), GroupDescription: text("Interface endpoints: HTTPS from inside the VPC"),
		SecurityGroupIngress: list(in), SecurityGroupEgress: list(answers),
	})
	return jobs, ends
}

// s3Policy is the one policy of the S3 endpoint: an endpoint takes one document,
// and one of denials only would deny everything. The denials of the first two are
// those of SageMaker's developer guide, with the buckets in which Amazon Linux 2
// keeps its repositories today.
func (d *deployment) s3Policy(own awss3.CfnBucket) map[string]any {
	var to []any = []any{"*"}
	if len(d.Network.Buckets) > 0 {
		to = []any{own.AttrArn(), inside(own)}
		for _, b := range d.Network.Buckets {
			to = append(to, arn("arn:${P}:s3:::%s", b).arn, arn("arn:${P}:s3:::%s/*", b).arn)
		}
	}
	deny := func(sid string, buckets ...string) any {
		var all []any
		for _, b := range buckets {
			all = append(all, arn("arn:${P}:s3:::%s/*", b).arn)
		}
		return map[string]any{"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": all}
	}
	statements := []any{
		map[string]any{"Sid": "AllowS3", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": to},
		deny("AmazonLinuxAMIRepositoryAccess", "packages.*.amazonaws.com", "repo.*.amazonaws.com"),
		deny("AmazonLinux2AMIRepositoryAccess", "amazonlinux.*.amazonaws.com", "amazonlinux-2-repos-*"),
	}
	if d.Network.DenyAL2023 {
		statements = append(statements, deny("AmazonLinux2023RepositoryAccess", "al2023-repos-*"))
	}
	return policyOf(statements...)
}

// inside are the objects of a bucket.
func inside(b awss3.CfnBucket) *string {
	return awscdk.Fn_Join(text(""), &[]*string{b.AttrArn(), text("/*")})
}

// jobsBucket holds what jobs read and write, and its log says who did. Both
// outlive the stack.
func (d *deployment) jobsBucket() awss3.CfnBucket {
	logs := d.bucket("VpcBucketLogs", nil)
	accept(logs, "AwsSolutions-S1", "It is the bucket that the access logs of the other go to; its own would go to itself without end.")
	jobs := d.bucket("VpcBucket", &awss3.CfnBucket_LoggingConfigurationProperty{DestinationBucketName: logs.Ref(), LogFilePrefix: text("jobs/")})
	awss3.NewCfnBucketPolicy(d.stack, text("VpcBucketLogsPolicy"), &awss3.CfnBucketPolicyProps{Bucket: logs.Ref(), PolicyDocument: policyOf(tlsOnly(logs), map[string]any{
		"Sid": "Logs", "Effect": "Allow", "Principal": map[string]any{"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject", "Resource": inside(logs),
		"Condition": map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": jobs.AttrArn()}, "StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}},
	})})
	return jobs
}

func (d *deployment) bucket(id string, logging *awss3.CfnBucket_LoggingConfigurationProperty) awss3.CfnBucket {
	props := &awss3.CfnBucketProps{
		BucketEncryption: &awss3.CfnBucket_BucketEncryptionProperty{ServerSideEncryptionConfiguration: list(&awss3.CfnBucket_ServerSideEncryptionRuleProperty{
			ServerSideEncryptionByDefault: &awss3.CfnBucket_ServerSideEncryptionByDefaultProperty{SseAlgorithm: text("AES256")},
		})},
		PublicAccessBlockConfiguration: &awss3.CfnBucket_PublicAccessBlockConfigurationProperty{
			BlockPublicAcls: yes, BlockPublicPolicy: yes, IgnorePublicAcls: yes, RestrictPublicBuckets: yes,
		},
	}
	if logging != nil {
		props.LoggingConfiguration = logging
	}
	b := awss3.NewCfnBucket(d.stack, text(id), props)
	b.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN, nil)
	return b
}

func tlsOnly(b awss3.CfnBucket) any {
	return map[string]any{"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []any{b.AttrArn(), inside(b)},
		"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}}
}

// onlyFrom admits to the bucket's data only what comes by the endpoint. The
// bucket itself can still be managed from elsewhere, or nobody could mend it.
func (d *deployment) onlyFrom(b awss3.CfnBucket, by awsec2.CfnVPCEndpoint) {
	awss3.NewCfnBucketPolicy(d.stack, text("VpcBucketPolicy"), &awss3.CfnBucketPolicyProps{Bucket: b.Ref(), PolicyDocument: policyOf(tlsOnly(b), map[string]any{
		"Sid": "OnlyThisVpc", "Effect": "Deny", "Principal": "*", "Resource": []any{b.AttrArn(), inside(b)},
		"Action":    []string{"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"},
		"Condition": map[string]any{"StringNotEquals": map[string]any{"aws:SourceVpce": by.AttrId()}},
	})})
}

// networkGrants read what there is of networks in the regions of SageMaker's
// endpoints; nothing where there are none.
func (d *deployment) networkGrants() []grant {
	var regions []string
	for _, e := range d.engines {
		if e.API == apiSageMaker {
			regions = append(regions, e.Region)
		}
	}
	if len(regions) == 0 {
		return nil
	}
	slices.Sort(regions)
	return []grant{{
		sid: "Networks", resources: anything(),
		actions:   []string{"ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints"},
		condition: map[string]any{"StringEquals": map[string]any{"aws:RequestedRegion": texts(slices.Compact(regions)...)}},
		why:       "EC2's descriptions know no resources (service authorization reference); reading, in the regions of SageMaker's endpoints.",
	}}
}
