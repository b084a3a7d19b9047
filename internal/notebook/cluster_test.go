package notebook

import (
	"encoding/json"
	"strings"
	"testing"
)

const source = `{"Id":"j-1","ReleaseLabel":"emr-7.12.0","ServiceRole":"EMR_DefaultRole","SecurityConfiguration":"sc","Status":{"State":"RUNNING"},
	"Applications":[{"Name":"Spark","Version":"3.5"},{"Name":"Livy"}],"Configurations":[{"Classification":"livy-conf","Properties":{"a":"b"}}],
	"LogUri":"s3n://logs/emr/","CustomAmiId":"ami-1","OSReleaseLabel":"2023.1","EbsRootVolumeSize":30,"ScaleDownBehavior":"TERMINATE_AT_TASK_COMPLETION","RepoUpgradeOnBoot":"",
	"SomethingNew":{"a":1},"MonitoringConfiguration":{"b":2},"NormalizedInstanceHours":7,"OutpostArn":null,"PlacementGroups":[],
	"Ec2InstanceAttributes":{"Ec2SubnetId":"subnet-1","RequestedEc2SubnetIds":["subnet-1"],"Ec2KeyName":"key","AdditionalMasterSecurityGroups":["sg-1","sg-2"],"AdditionalSlaveSecurityGroups":["sg-3"],"IamInstanceProfile":"EMR_EC2","EmrManagedMasterSecurityGroup":"sg-m","EmrManagedSlaveSecurityGroup":"sg-s","ServiceAccessSecurityGroup":"sg-a"},
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

const actions = `{"BootstrapActions":[{"Name":"background","ScriptPath":"s3://b/x.sh","Args":["--on","1"]},{"Name":"plain","ScriptPath":"s3://b/y.sh"}]}`

func TestS5_1Like(t *testing.T) {
	t.Parallel()
	const common = `"Applications":[{"Name":"Spark"},{"Name":"Livy"}],"AutoTerminationPolicy":{"IdleTimeout":3600},` +
		`"BootstrapActions":[{"Name":"background","ScriptBootstrapAction":{"Args":["--on","1"],"Path":"s3://b/x.sh"}},{"Name":"plain","ScriptBootstrapAction":{"Args":[],"Path":"s3://b/y.sh"}}],` +
		`"Configurations":[{"Classification":"livy-conf","Properties":{"a":"b"}}],`
	const network = `"EbsRootVolumeSize":30,"Instances":{"AdditionalMasterSecurityGroups":["sg-1","sg-2"],"AdditionalSlaveSecurityGroups":["sg-3"],"Ec2KeyName":"key","Ec2SubnetId":"subnet-1",` +
		`"EmrManagedMasterSecurityGroup":"sg-m","EmrManagedSlaveSecurityGroup":"sg-s","InstanceGroups":[{"InstanceRole":"MASTER","InstanceType":"m5.xlarge","InstanceCount":1}`
	const rest = `],"KeepJobFlowAliveWhenNoSteps":true,"ServiceAccessSecurityGroup":"sg-a"},"JobFlowRole":"EMR_EC2","LogUri":"s3n://logs/emr/",`
	const end = `","ScaleDownBehavior":"TERMINATE_AT_TASK_COMPLETION","SecurityConfiguration":"sc","ServiceRole":"EMR_DefaultRole","Tags":[{"Key":"cost-center","Value":"risk"},{"Key":"nightshift:notebook","Value":"n-1"}]}`
	const note = "The new cluster is like j-1, but for what is not copied: MonitoringConfiguration, SomethingNew, steps, policies of scaling and of termination."
	for want, asked := range map[string]string{
		"{" + common + `"CustomAmiId":"ami-1",` + network + rest + `"OSReleaseLabel":"2023.1","ReleaseLabel":"emr-7.12.0` + end:                      `{"instanceType":"m5.xlarge"}`,
		"{" + common + network + `,{"InstanceRole":"CORE","InstanceType":"m5.xlarge","InstanceCount":2}` + rest + `"ReleaseLabel":"emr-7.13.0` + end: `{"instanceType":"m5.xlarge","instances":3,"releaseLabel":"emr-7.13.0"}`,
	} {
		got, told, err := Like([]byte(source), []byte(actions), "n-1", []byte(asked))
		text, _ := json.Marshal(got)
		if err != nil || string(text) != want {
			t.Errorf("S5.1 %s: got %s, %v\nwant %s", asked, text, err, want)
		}
		if told != note && told != strings.Replace(note, "MonitoringConfiguration", "CustomAmiId, MonitoringConfiguration, OSReleaseLabel", 1) || (told == note) == strings.Contains(asked, "releaseLabel") {
			t.Errorf("S5.1 %s is said to be %q", asked, told)
		}
	}
	got, _, err := Like([]byte(`{"Id":"j-1","ServiceRole":"r","Ec2InstanceAttributes":{"Ec2SubnetId":"s","IamInstanceProfile":"p"}}`), []byte(`{}`), "n-1", []byte(`{"instanceType":"m5.xlarge"}`))
	if text, _ := json.Marshal(got); err != nil || strings.Contains(string(text), "Security") || strings.Contains(string(text), "Configurations") || strings.Contains(string(text), "Bootstrap") {
		t.Errorf("S5.1 what the old cluster has not is asked for: %s %v", text, err)
	}
	const plain = `{"Id":"j-1","ServiceRole":"r","Ec2InstanceAttributes":{"Ec2SubnetId":"s","IamInstanceProfile":"p"},"KerberosAttributes":{"Realm":"EC2.INTERNAL"}}`
	for _, bad := range [][2]string{{`x`, `{}`}, {`{}`, `{}`}, {`{"ServiceRole":"r","Ec2InstanceAttributes":{"Ec2SubnetId":"s"}}`, `{}`}, {source, ``}, {source, `{"BootstrapActions":[],"Marker":"m"}`}, {plain, `{}`}} {
		if got, _, err := Like([]byte(bad[0]), []byte(bad[1]), "n-1", []byte(`{}`)); err == nil {
			t.Errorf("S5.1 a cluster like %s is %v", bad, got)
		}
	}
}
