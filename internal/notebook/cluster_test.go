package notebook

import (
	"encoding/json"
	"strings"
	"testing"
)

const source = `{"Id":"j-1","ReleaseLabel":"emr-7.12.0","ServiceRole":"EMR_DefaultRole","SecurityConfiguration":"sc","Status":{"State":"RUNNING"},
	"Applications":[{"Name":"Spark","Version":"3.5"},{"Name":"Livy"}],"Configurations":[{"Classification":"livy-conf","Properties":{"a":"b"}}],
	"Ec2InstanceAttributes":{"Ec2SubnetId":"subnet-1","IamInstanceProfile":"EMR_EC2","EmrManagedMasterSecurityGroup":"sg-m","EmrManagedSlaveSecurityGroup":"sg-s","ServiceAccessSecurityGroup":"sg-a"},
	"Tags":[{"Key":"cost-center","Value":"risk"},{"Key":"aws:cloudformation:stack-name","Value":"x"},{"Key":"nightshift:notebook","Value":"n-0"}]}`

func TestS5_1Judge(t *testing.T) {
	t.Parallel()
	const nets = `[{"SubnetId":"subnet-1","VpcId":"vpc-1"},{"SubnetId":"subnet-2","VpcId":"vpc-1"},{"SubnetId":"subnet-3","VpcId":"vpc-2"}]`
	for _, c := range []struct{ subnet, state, want, says string }{
		{"subnet-1", "WAITING", Ready, ""},
		{"subnet-2", "RUNNING", Ready, ""},
		{"subnet-2", "STARTING", Starting, "j-2 is STARTING. EMR says: why"},
		{"subnet-2", "BOOTSTRAPPING", Starting, "BOOTSTRAPPING"},
		{"subnet-2", "TERMINATING", Never, "j-2 is TERMINATING"},
		{"subnet-2", "TERMINATED_WITH_ERRORS", Never, "TERMINATED_WITH_ERRORS"},
		{"subnet-2", "SOMETHING_NEW", Never, "SOMETHING_NEW"},
		{"subnet-3", "WAITING", Never, "j-2 is in vpc-2, and j-1, where the notebook runs, in vpc-1"},
		{"subnet-3", "STARTING", Never, "within its VPC only"},
		{"subnet-9", "WAITING", "", ""},
		{"", "WAITING", "", ""},
	} {
		target := `{"Id":"j-2","Status":{"State":"` + c.state + `","StateChangeReason":{"Message":"why"}},"Ec2InstanceAttributes":{"Ec2SubnetId":"` + c.subnet + `"},"Tags":[{"Key":"cost-center","Value":"risk"}]}`
		state, reason, err := Judge([]byte(source), []byte(target), []byte(nets))
		if state != c.want || !strings.Contains(reason, c.says) || (err == nil) != (c.want != "") || (state == Ready) != (err == nil && reason == "") {
			t.Errorf("S5.1 %s in %s: %q %q %v", c.state, c.subnet, state, reason, err)
		}
	}
	for center, want := range map[string]string{`,"Tags":[{"Key":"cost-center","Value":"sales"}]`: Never, "": Never} {
		target := `{"Id":"j-2","Status":{"State":"WAITING"},"Ec2InstanceAttributes":{"Ec2SubnetId":"subnet-2"}` + center + `}`
		if state, reason, err := Judge([]byte(source), []byte(target), []byte(nets)); state != want || !strings.Contains(reason, "department") || err != nil {
			t.Errorf("S5.2 %s: %q %q %v", center, state, reason, err)
		}
		if state, _, err := Judge([]byte(target), []byte(source), []byte(nets)); err != nil || (state == Ready) != (center == "") {
			t.Errorf("S5.2 from %s: %q %v", center, state, err)
		}
	}
	if _, _, err := Judge([]byte(`x`), []byte(source), []byte(nets)); err == nil {
		t.Error("S5.1 what cannot be read is judged")
	}
}

func TestS5_1Like(t *testing.T) {
	t.Parallel()
	const common = `"Applications":[{"Name":"Spark"},{"Name":"Livy"}],"AutoTerminationPolicy":{"IdleTimeout":3600},"Configurations":[{"Classification":"livy-conf","Properties":{"a":"b"}}],` +
		`"Instances":{"Ec2SubnetId":"subnet-1","EmrManagedMasterSecurityGroup":"sg-m","EmrManagedSlaveSecurityGroup":"sg-s","InstanceGroups":[{"InstanceRole":"MASTER","InstanceType":"m5.xlarge","InstanceCount":1}`
	const rest = `],"KeepJobFlowAliveWhenNoSteps":true,"ServiceAccessSecurityGroup":"sg-a"},"JobFlowRole":"EMR_EC2","Name":"nightshift-n-1","ReleaseLabel":"`
	const end = `","SecurityConfiguration":"sc","ServiceRole":"EMR_DefaultRole","Tags":[{"Key":"cost-center","Value":"risk"},{"Key":"nightshift:notebook","Value":"n-1"}]}`
	for want, asked := range map[string]string{
		"{" + common + rest + "emr-7.12.0" + end: `{"instanceType":"m5.xlarge"}`,
		"{" + common + `,{"InstanceRole":"CORE","InstanceType":"m5.xlarge","InstanceCount":2}` + rest + "emr-7.13.0" + end: `{"instanceType":"m5.xlarge","instances":3,"releaseLabel":"emr-7.13.0"}`,
	} {
		got, err := Like([]byte(source), "n-1", []byte(asked))
		text, _ := json.Marshal(got)
		if err != nil || string(text) != want {
			t.Errorf("S5.1 %s: got %s, %v\nwant %s", asked, text, err, want)
		}
	}
	got, err := Like([]byte(`{"Id":"j-1","ServiceRole":"r","Ec2InstanceAttributes":{"Ec2SubnetId":"s","IamInstanceProfile":"p"}}`), "n-1", []byte(`{"instanceType":"m5.xlarge"}`))
	if text, _ := json.Marshal(got); err != nil || strings.Contains(string(text), "Security") || strings.Contains(string(text), "Configurations") {
		t.Errorf("S5.1 what the old cluster has not is asked for: %s %v", text, err)
	}
	for _, bad := range []string{`x`, `{}`, `{"ServiceRole":"r","Ec2InstanceAttributes":{"Ec2SubnetId":"s"}}`} {
		if got, err := Like([]byte(bad), "n-1", []byte(`{}`)); err == nil {
			t.Errorf("S5.1 a cluster like %s is %v", bad, got)
		}
	}
}
