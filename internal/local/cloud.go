package local

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"nightshift/internal/cluster"
	"nightshift/internal/config"
	"nightshift/internal/doctor/account/accountsim"
)

// The names of what stands around the simulated engines.
const (
	Domain      = "d-n1ghtsh1ft01" // of SageMaker Studio
	centerARN   = "arn:aws:sso:::instance/ssoins-1234567890abcdef"
	application = "arn:aws:sso::" + Account + ":application/ssoins-1234567890abcdef/apl-"
	emrApp      = application + "emr0000000000001"
	studioApp   = application + "studio0000000001"
	nodesRole   = "emr-nodes"
	centerRole  = "emr-identity-center"
	livyIdle    = 8 * time.Hour
	tokenIsOld  = 60 * 24 * time.Hour
	roleBase    = "arn:aws:iam::" + Account + ":role/"
	stackName   = "nightshift" // whose functions, rules and machines these are
	studioTrust = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:SetContext"]}]}`
)

// cloud is the account around the engines, as a doctor finds it: in order, but for
// what Defaults leaves off, so that a newcomer sees both. Faults are planted with
// Cloud.Change and Cloud.Refuse.
func (s *System) cloud() (accountsim.World, error) {
	document, err := cluster.Render(cluster.Settings{RoleARN: roleBase + centerRole, CertificateS3: "s3://nightshift-demo/certificates.zip", Background: true})
	if err != nil {
		return accountsim.World{}, err
	}
	// EMR adds its application when it makes the configuration.
	withApp := strings.Replace(string(document), `"EnableIdentityCenter"`, `"IdCApplicationARN": "`+emrApp+`", "EnableIdentityCenter"`, 1)
	livy := accountsim.Cluster{State: "WAITING", ReleaseLabel: "emr-7.12.0", SecurityConfiguration: "identity-center", Profile: nodesRole, Masters: 1}
	for _, c := range cluster.Classifications(livyIdle) {
		livy.Configurations = append(livy.Configurations, map[string]any{"Classification": c.Classification, "Properties": c.Properties})
	}
	old := livy
	old.ReleaseLabel = "emr-7.9.0"
	env, err := s.told()
	if err != nil {
		return accountsim.World{}, err
	}
	return accountsim.World{
		Region: Region, HomeRegion: Region, Concurrency: 1000, Unreserved: 985,
		Instances:    []accountsim.Instance{{InstanceArn: centerARN, IdentityStoreId: IdentityStore, Status: "ACTIVE"}},
		Applications: map[string]string{emrApp: "ENABLED", studioApp: "DISABLED"},
		Stores:       map[string]int{IdentityStore: 12},
		Trails:       []accountsim.Trail{{TrailARN: "arn:aws:cloudtrail:" + Region + ":" + Account + ":trail/all", Name: "all", HomeRegion: Region, IsMultiRegionTrail: true, IsLogging: true, ReadWriteType: "All"}},
		Events: []accountsim.Event{
			{EventName: "PatchUser", EventSource: "identitystore-scim.amazonaws.com", EventTime: s.since.Add(-time.Hour).Unix()},
			{EventName: "CreateBearerToken", EventSource: "sso-directory.amazonaws.com", EventTime: s.since.Add(-tokenIsOld).Unix()},
		},
		Rules: cloudRules(), Functions: map[string]map[string]string{stackName + "-on-schedule": env},
		Roles: map[string]string{
			centerRole: string(cluster.RoleTrust(roleBase + nodesRole)), "training": studioTrust, "processing": studioTrust, "studio": studioTrust,
		},
		Profiles: map[string]string{nodesRole: roleBase + nodesRole},
		Quotas: []accountsim.Quota{
			{QuotaName: "ml.m5.xlarge for processing job usage", Value: 20}, {QuotaName: "ml.m5.xlarge for training job usage", Value: 20}, {QuotaName: "ml.g5.xlarge for training job usage", Value: 4},
		},
		Clusters: map[string]accountsim.Cluster{strings.TrimPrefix(Livy, "livy/"): livy, strings.TrimPrefix(LivyOld, "livy/"): old},
		Security: map[string]string{"identity-center": withApp},
		Domains: map[string]accountsim.Domain{Domain: {
			Status: "InService", AuthMode: "SSO", Application: studioApp, ExecutionRole: roleBase + "studio", Propagation: "ENABLED", Remote: map[string]string{"ana": "DISABLED"},
		}},
	}, nil
}

// cloudRules are the rules as they are deployed.
func cloudRules() map[string]accountsim.Rule {
	all := map[string]accountsim.Rule{"default/" + stackName + "-schedule": {State: "ENABLED", Targets: 1}}
	for _, r := range config.Rules() {
		bus, state := "default", "ENABLED"
		if r.OnOwnBus {
			bus = ownBus
		}
		if r.ReadOnly {
			state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
		}
		all[bus+"/"+stackName+"-"+r.Name] = accountsim.Rule{State: state, Pattern: r.Pattern, Targets: 1}
	}
	return all
}

// told is what on-schedule would have been told.
func (s *System) told() (map[string]string, error) {
	endpoints := []map[string]string{}
	for _, id := range []string{Livy, LivyOld, EMROnEKS, SageMaker, EMRNotebook} {
		e := map[string]string{"endpoint": id, "identityPropagation": "on", "applicationArn": emrApp}
		switch id {
		case Livy, LivyOld:
			e["url"], e["clusterBackground"], e["releaseLabel"] = s.URLs[id], "on", "emr-7.12.0"
			if id == LivyOld {
				e["releaseLabel"] = "emr-7.9.0"
			}
		case SageMaker:
			e["applicationArn"] = studioApp
		}
		endpoints = append(endpoints, e)
	}
	list, err := json.Marshal(endpoints)
	if err != nil {
		return nil, fmt.Errorf("write the endpoints: %w", err)
	}
	env := map[string]string{
		config.Account: Account, config.Table: stackName, config.Bus: ownBus, config.IdentityStoreID: IdentityStore, config.Endpoints: string(list),
		config.SessionsURL: "https://portal.example.com/sessions",
	}
	for _, name := range config.For("on-schedule") {
		if machine, is := strings.CutSuffix(strings.TrimPrefix(name, "NIGHTSHIFT_"), "_MACHINE_ARN"); is {
			env[name] = machineARN(strings.ToLower(machine))
		}
	}
	return env, nil
}
