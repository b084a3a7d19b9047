package vpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"nightshift/internal/app"
	"nightshift/internal/fault"
	"nightshift/internal/finding"
	"nightshift/internal/network"
	"nightshift/internal/session"
	"nightshift/internal/vpc"
	"nightshift/internal/vpc/vpcsim"
	"nightshift/internal/workload"
)

const endpoint = "sagemaker/123456789012/eu-west-1"

// good is a VPC with three subnets, so that the simulator's pages of two are met.
func good() network.Facts {
	self := network.Rule{Protocol: "-1", Groups: []string{"sg-1"}}
	f := network.Facts{
		Groups:    []network.Group{{ID: "sg-1", VPC: "vpc-1", Ingress: []network.Rule{self}, Egress: []network.Rule{{Protocol: "tcp", From: 443, To: 443, Lists: []string{"pl-1"}}}}},
		VPCs:      []network.VPC{{ID: "vpc-1", DNSSupport: true, DNSHostname: true}, {ID: "vpc-2", DNSSupport: true, DNSHostname: true}},
		Endpoints: []network.Endpoint{{ID: "vpce-1", VPC: "vpc-1", Service: "com.amazonaws.eu-west-1.s3", Gateway: true, Available: true}},
		ACLs: []network.ACL{{ID: "acl-1", Rules: []network.ACLRule{ // in no order
			{Number: 32767, Protocol: "-1", CIDR: "0.0.0.0/0"}, {Number: 32767, Egress: true, Protocol: "-1", CIDR: "0.0.0.0/0"},
			{Number: 90, Egress: true, Allow: true, Protocol: "-1", CIDR: "10.0.0.0/16"}, {Number: 90, Allow: true, Protocol: "-1", CIDR: "10.0.0.0/16"},
			{Number: 100, Egress: true, Allow: true, Protocol: "6", CIDR: "0.0.0.0/0", PortFrom: 443, PortTo: 443},
			{Number: 100, Allow: true, Protocol: "6", CIDR: "0.0.0.0/0", PortFrom: 1024, PortTo: 65535},
		}}},
	}
	for i := 1; i <= 3; i++ {
		id := fmt.Sprintf("subnet-%d", i)
		f.Subnets = append(f.Subnets, network.Subnet{ID: id, VPC: "vpc-1", Zone: "eu-west-1a", Free: 10, CIDR: fmt.Sprintf("10.0.%d.0/24", i)})
		f.Tables = append(f.Tables, network.Table{ID: "rtb-" + id, VPC: "vpc-1", Subnets: []string{id},
			Routes: []network.Route{{To: "10.0.0.0/16", Target: "local"}, {To: "0.0.0.0/0", Target: "nat-1"}, {To: "pl-1", Target: "vpce-1"}}})
		f.ACLs[0].Subnets = append(f.ACLs[0].Subnets, id)
	}
	return f
}

// sessions are what the store lists, a page each.
type sessions []session.Session

func (s sessions) OfEndpoint(_ context.Context, e, cursor string) (app.Page, error) {
	if e != endpoint {
		return app.Page{}, fmt.Errorf("asked for %s", e)
	}
	i := len(cursor)
	if i >= len(s) {
		return app.Page{}, nil
	}
	return app.Page{Sessions: s[i : i+1], Next: cursor + "."}, nil
}

type system struct {
	*vpc.Preflight
	sim *vpcsim.Sim
}

func open(t *testing.T, live ...session.Session) system {
	t.Helper()
	sim := vpcsim.New(good())
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	api := ec2.New(ec2.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{}, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	return system{&vpc.Preflight{EC2: map[string]vpc.API{endpoint: api}, Sessions: sessions(live),
		Reserve: func(_ context.Context, _, _ string, _ int, decide func(map[string]int) (bool, error)) error {
			_, err := decide(nil)
			return err
		},
		JobName: func(asked, id string) string { return asked + "/" + id[:2] }}, sim}
}

const spec = `{"ProcessingJobName":"nightly","NetworkConfig":{"VpcConfig":{"Subnets":["subnet-1","subnet-2","subnet-3"],"SecurityGroupIds":["sg-1"]}},
	"ProcessingResources":{"ClusterConfig":{"InstanceCount":10,"InstanceType":"ml.m5.xlarge"}},"RoleArn":"r"}`

func request(e workload.Engine) app.OpenRequest {
	return app.OpenRequest{Execution: "arn:aws:states:eu-west-1:123456789012:execution:nightshift-process-in-vpc:one", Run: workload.Run{Engine: e, Endpoint: endpoint}}
}

func (s system) check(t *testing.T, spec string) vpc.Output {
	t.Helper()
	out, err := s.Check(t.Context(), request(workload.SageMakerProcessing), []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// bad lists what is not ok, and holds that each says what, where and how to mend
// it, and that the cause says the same.
func bad(t *testing.T, out vpc.Output) []string {
	t.Helper()
	var names []string
	for _, f := range out.Findings {
		if f.Result != finding.OK {
			names = append(names, f.Check+" "+string(f.Result))
			if f.What == "" || f.Fix == "" {
				t.Errorf("%+v does not say what, or how to mend it", f)
			}
		}
	}
	if out.Verdict == vpc.Passed {
		if out.Error != "" || out.Cause != "" {
			t.Errorf("passed, with %s %s", out.Error, out.Cause)
		}
		return names
	}
	var cause vpc.Refusal
	if err := json.Unmarshal([]byte(out.Cause), &cause); err != nil || len(out.Cause) > 32_768 {
		t.Fatalf("%d bytes of cause, %v", len(out.Cause), err)
	}
	if len(cause.Bad)+cause.More != len(names) || cause.Text == "" {
		t.Errorf("the cause says %d and %d more, want %d: %s", len(cause.Bad), cause.More, len(names), cause.Text)
	}
	return names
}

func TestS6_1PassesWhatIsRight(t *testing.T) {
	s := open(t)
	out := s.check(t, spec)
	if got := bad(t, out); len(got) > 0 || out.Verdict != vpc.Passed {
		t.Fatalf("%s %v", out.Verdict, got)
	}
	checks := map[string]int{}
	for _, f := range out.Findings {
		checks[f.Check]++
	}
	// Both pages of each list were read.
	if checks["subnet-exists"] != 3 || checks["s3-route"] != 3 || checks["network-acl"] != 3 || s.sim.Calls("DescribeRouteTables") != 2 {
		t.Errorf("%v", checks)
	}
}

// Each fault that is planted is found, alone and under its name (S6.1–S6.3).
func TestS6_EachPlantedFaultIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(*network.Facts)
		want  string
	}{
		{"a subnet is gone", func(f *network.Facts) { f.Subnets = f.Subnets[:2]; f.Subnets[0].Free = 30 }, "[subnet-exists failure]"},
		{"a subnet in another VPC", func(f *network.Facts) {
			f.Subnets[2].VPC, f.Tables[2].VPC = "vpc-2", "vpc-2"
		}, "[one-vpc failure]"},
		{"too few addresses", func(f *network.Facts) { f.Subnets[0].Free = 0; f.Subnets[1].Free = 9 }, "[free-addresses failure]"},
		{"no gateway endpoint", func(f *network.Facts) { f.Endpoints = nil }, "[s3-route failure s3-route failure s3-route failure]"},
		{"an endpoint that is not available", func(f *network.Facts) { f.Endpoints[0].Available = false }, "[s3-route failure s3-route failure s3-route failure]"},
		{"an interface endpoint for S3 has no route", func(f *network.Facts) { f.Endpoints[0].Gateway = false }, "[s3-route failure s3-route failure s3-route failure]"},
		{"one table without the route", func(f *network.Facts) { f.Tables[1].Routes = f.Tables[1].Routes[:2] }, "[s3-route failure]"},
		{"a route into nothing", func(f *network.Facts) {
			f.Tables[0].Routes = slices.Clone(f.Tables[0].Routes)
			f.Tables[0].Routes[2].Blackhole = true
		}, "[s3-route failure]"},
		{"no table of its own, and the main one lacks it", func(f *network.Facts) {
			f.Tables[2] = network.Table{ID: "rtb-main", VPC: "vpc-1", Main: true}
		}, "[s3-route failure]"},
		{"DNS is off", func(f *network.Facts) { f.VPCs[0].DNSSupport = false }, "[dns failure]"},
		{"host names are off", func(f *network.Facts) { f.VPCs[0].DNSHostname = false }, "[dns failure]"},
		{"the group does not admit itself", func(f *network.Facts) { f.Groups[0].Ingress = nil }, "[group-admits-itself failure]"},
		{"the group lets nothing out", func(f *network.Facts) { f.Groups[0].Egress = nil }, "[group-lets-out failure]"},
		{"a network ACL undoes it", func(f *network.Facts) { f.ACLs[0].Rules[5].Number = 32768 }, "[network-acl failure network-acl failure network-acl failure]"},
		{"several at once", func(f *network.Facts) {
			f.VPCs[0].DNSSupport = false
			f.Groups[0].Ingress = nil
			f.Subnets[0].Free = -11
		},
			"[free-addresses failure dns failure group-admits-itself failure]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			s.sim.Change(c.plant)
			out := s.check(t, spec)
			if got := fmt.Sprint(bad(t, out)); got != c.want || out.Verdict != vpc.Failed || out.Error != vpc.PreflightFailed {
				t.Errorf("%s %s, want %s", out.Verdict, got, c.want)
			}
		})
	}
}

// What may not be read is unknown, named, and does not pass.
func TestS6_UnreadIsUnknown(t *testing.T) {
	for operation, want := range map[string]string{
		"DescribeSecurityGroups": "[one-vpc unknown group-exists unknown]",
		"DescribeVpcAttribute":   "[dns unknown]",
		"DescribeRouteTables":    "[s3-route unknown]",
		"DescribeVpcEndpoints":   "[s3-route unknown]",
		"DescribeNetworkAcls":    "[network-acl unknown]",
		"DescribeSubnets":        "[subnet-exists unknown one-vpc unknown free-addresses unknown s3-route unknown dns unknown network-acl unknown]",
	} {
		t.Run(operation, func(t *testing.T) {
			s := open(t)
			s.sim.Refuse(operation, 403, "UnauthorizedOperation")
			out := s.check(t, spec)
			if got := fmt.Sprint(bad(t, out)); got != want || out.Verdict != vpc.Unknown || out.Error != vpc.PreflightUnknown || !strings.Contains(out.Cause, "UnauthorizedOperation") {
				t.Errorf("%s %s, want %s; %s", out.Verdict, got, want, out.Cause)
			}
		})
	}
}

// What may pass is an error, to be tried again.
func TestFailuresThatPass(t *testing.T) {
	for code, kind := range map[string]fault.Kind{"RequestLimitExceeded": fault.Throttled, "InternalError": fault.Unknown} {
		s := open(t)
		s.sim.Refuse("DescribeRouteTables", 503, code)
		if _, err := s.Check(t.Context(), request(workload.SageMakerProcessing), []byte(spec)); fault.KindOf(err) != kind || !strings.Contains(err.Error(), "ec2: read tables") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// Jobs already admitted count until they run: 30 addresses are free, the job
// needs 20 (S6.1).
func TestS6_1CountsPlannedJobs(t *testing.T) {
	planned := func(engine workload.Engine, n int) session.Session {
		return session.Session{ID: "s-other", Status: session.Active, Run: workload.Run{Engine: engine, Endpoint: endpoint, Billing: workload.Billing{Instances: n}}}
	}
	running, ending, own := planned(workload.SageMakerTraining, 9), planned(workload.SageMakerTraining, 9), planned(workload.SageMakerProcessing, 9)
	running.RunningSince = time.Unix(1, 0)
	ending.Status = session.Ending
	own.ID = app.SessionOfExecution(request("").Execution)
	for _, c := range []struct {
		name string
		live []session.Session
		want string
	}{
		{"five more fit", []session.Session{planned(workload.SageMakerTraining, 2), planned(workload.SageMakerProcessing, 3)}, "[]"},
		{"six do not", []session.Session{planned(workload.SageMakerTraining, 2), planned(workload.SageMakerProcessing, 4)}, "[free-addresses failure]"},
		{"what runs holds its addresses already", []session.Session{running, ending, own}, "[]"},
		{"a pipeline has no instances of its own", []session.Session{planned(workload.SageMakerPipeline, 9)}, "[]"},
		{"of unknown size", []session.Session{planned(workload.SageMakerTraining, 0)}, "[planned-jobs warning]"},
		{"of unknown size, and no room", []session.Session{planned(workload.SageMakerTraining, 5), planned(workload.SageMakerTraining, 0)}, "[free-addresses failure planned-jobs warning]"},
	} {
		if got := fmt.Sprint(bad(t, open(t, c.live...).check(t, spec))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSpecs(t *testing.T) {
	s := open(t)
	training := `{"VpcConfig":{"Subnets":["subnet-1"],"SecurityGroupIds":["sg-1"]},"ResourceConfig":{"InstanceGroups":[{"InstanceCount":2},{"InstanceCount":4}]}}`
	out, err := s.Check(t.Context(), request(workload.SageMakerTraining), []byte(training))
	if err != nil || fmt.Sprint(bad(t, out)) != "[free-addresses failure]" || !strings.Contains(out.Cause, "the job needs 12") {
		t.Errorf("%v %s", err, out.Cause)
	}
	if got := fmt.Sprint(bad(t, s.check(t, `{}`))); !strings.HasPrefix(got, "[subnets-given failure groups-given failure instances failure") {
		t.Errorf("a job without a network: %s", got)
	}
	for _, c := range []struct {
		r    app.OpenRequest
		spec string
	}{
		{request(workload.Livy), spec},
		{request(workload.SageMakerProcessing), `{"NetworkConfig":"x"}`},
		{app.OpenRequest{Run: workload.Run{Engine: workload.SageMakerTraining, Endpoint: "sagemaker/1/x"}}, spec},
	} {
		if _, err := s.Check(t.Context(), c.r, []byte(c.spec)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}

// A cause that is too long loses its least findings, and says how many (32 KiB is
// Step Functions' limit).
func TestCauseFits(t *testing.T) {
	s := open(t)
	long := strings.Repeat("x", 9_000)
	out := s.check(t, `{"NetworkConfig":{"VpcConfig":{"Subnets":["`+long+`1","`+long+`2","`+long+`3","`+long+`4"],"SecurityGroupIds":["sg-1"]}},"ProcessingResources":{"ClusterConfig":{"InstanceCount":1}}}`)
	bad(t, out)
	if !strings.Contains(out.Cause, `"more":`) || len(out.Cause) < 9_000 {
		t.Errorf("%d bytes: …%s", len(out.Cause), out.Cause[max(0, len(out.Cause)-200):])
	}
}

// Links are known before the job is (S6.3).
func TestS6_3Links(t *testing.T) {
	got := open(t).check(t, spec).Links
	want := vpc.Links{
		Job:      "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/processing-jobs/nightly%2Fs-",
		Logs:     "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FProcessingJobs$3FlogStreamNameFilter$3Dnightly/s-$252F",
		Metrics:  "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#metricsV2:graph=~();query=~'*7b*2faws*2fsagemaker*2fProcessingJobs*2cHost*7d*20nightly/s-",
		LogGroup: "/aws/sagemaker/ProcessingJobs", LogPrefix: "nightly/s-/", Namespace: "/aws/sagemaker/ProcessingJobs", Host: "nightly/s-/",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
