package local

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ec2api "github.com/aws/aws-sdk-go-v2/service/ec2"
	s3api "github.com/aws/aws-sdk-go-v2/service/s3"

	"nightshift/internal/engine/sagemaker"
	"nightshift/internal/engine/simrun"
	"nightshift/internal/network"
	"nightshift/internal/vpc"
)

// Where the simulated network and the simulated S3 are found among the URLs; they
// are no endpoints of runs.
const (
	ec2 = "ec2"
	s3  = "s3"
)

// What a job in the simulated VPC names.
var (
	Subnets       = []string{"subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002"}
	SecurityGroup = "sg-0a1b2c3d4e5f60001"
	// OtherSubnet is in another VPC.
	OtherSubnet = "subnet-0f9e8d7c6b5a40001"
)

// Network is the simulated VPC as it should be: two private subnets of 59 free
// addresses each, a way to S3 from both, and a group that admits itself. Faults
// are planted with EC2.Change and EC2.Refuse.
func Network() network.Facts {
	const vpcID, endpoint = "vpc-0a1b2c3d4e5f60001", "vpce-0a1b2c3d4e5f60001"
	all := network.Rule{Protocol: "-1", Groups: []string{SecurityGroup}}
	web := network.Rule{Protocol: "tcp", From: 443, To: 443, CIDRs: []string{"0.0.0.0/0"}}
	routes := []network.Route{{To: "10.64.0.0/16", Target: "local"}, {To: "pl-63a5400a", Target: endpoint}}
	open := []network.ACLRule{}
	for _, egress := range []bool{false, true} {
		open = append(open, network.ACLRule{Number: 100, Egress: egress, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"},
			network.ACLRule{Number: 32767, Egress: egress, Protocol: "-1", CIDR: "0.0.0.0/0"})
	}
	return network.Facts{
		Subnets: []network.Subnet{{ID: Subnets[0], VPC: vpcID, Zone: Region + "a", Free: 59, CIDR: "10.64.0.0/26"}, {ID: Subnets[1], VPC: vpcID, Zone: Region + "b", Free: 59, CIDR: "10.64.0.64/26"},
			{ID: OtherSubnet, VPC: "vpc-0f9e8d7c6b5a40001", Zone: Region + "a", Free: 251, CIDR: "10.65.0.0/24"}},
		Groups:    []network.Group{{ID: SecurityGroup, VPC: vpcID, Ingress: []network.Rule{all}, Egress: []network.Rule{all, web}}},
		VPCs:      []network.VPC{{ID: vpcID, DNSSupport: true, DNSHostname: true}},
		Tables:    []network.Table{{ID: "rtb-0a1b2c3d4e5f60001", VPC: vpcID, Main: true}, {ID: "rtb-0a1b2c3d4e5f60002", VPC: vpcID, Subnets: Subnets, Routes: routes}},
		Endpoints: []network.Endpoint{{ID: endpoint, VPC: vpcID, Service: "com.amazonaws." + Region + ".s3", Gateway: true, Available: true}},
		ACLs:      []network.ACL{{ID: "acl-0a1b2c3d4e5f60001", Subnets: Subnets, Rules: open}},
	}
}

// ec2Client speaks to the simulated network.
func (s *System) ec2Client() *ec2api.Client {
	return ec2api.New(ec2api.Options{
		HTTPClient: simrun.Client(), Region: Region, BaseEndpoint: aws.String(s.URLs[ec2]), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// s3Client speaks to the simulated S3.
func (s *System) s3Client() *s3api.Client {
	return s3api.New(s3api.Options{
		HTTPClient: simrun.Client(), Region: Region, BaseEndpoint: aws.String(s.URLs[s3]), Retryer: aws.NopRetryer{}, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// preflight checks jobs against the simulated network, through EC2's own client.
func (s *System) preflight() *vpc.Preflight {
	return &vpc.Preflight{EC2: map[string]vpc.API{SageMaker: s.network}, Sessions: s.Store, Reserve: s.App.Reserve, JobName: sagemaker.JobName}
}
