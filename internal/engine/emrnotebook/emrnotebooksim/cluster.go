package emrnotebooksim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// credentials were issued for a cluster and are good for a while.
type credentials struct {
	cluster, user, password string
	expires                 time.Time
}

// Accepts says whether a cluster's own endpoints take the credentials now: they
// were issued for it and have not expired. The simulator of a Livy server asks.
func (s *Sim) Accepts(cluster, user, password string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	for _, c := range s.issued {
		if c.cluster == cluster && c.user == user && c.password == password && now.Before(c.expires) {
			return true
		}
	}
	return false
}

// Revoke makes a cluster's endpoints forget the credentials issued so far.
func (s *Sim) Revoke(cluster string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.issued {
		if s.issued[i].cluster == cluster {
			s.issued[i].expires = time.Time{}
		}
	}
}

func (s *Sim) cluster(id string) (Cluster, *refusal) {
	for _, c := range s.config.Clusters {
		if c.ID == id {
			return c, nil
		}
	}
	return Cluster{}, invalid("Cluster id '%s' is not valid.", id)
}

func (s *Sim) has(id string) bool {
	_, no := s.cluster(id)
	return no == nil
}

// asked is the cluster that a request names.
func (s *Sim) asked(body []byte) (Cluster, *refusal) {
	var in struct {
		ID string `json:"ClusterId"`
	}
	if no := read(body, &in); no != nil {
		return Cluster{}, no
	}
	return s.cluster(in.ID)
}

func (s *Sim) describeCluster(body []byte, now time.Time) (any, *refusal) {
	c, no := s.asked(body)
	if no != nil {
		return nil, no
	}
	since := s.since
	if !c.made.at.IsZero() {
		since = c.made.at
	}
	times := map[string]float64{"CreationDateTime": seconds(since), "ReadyDateTime": seconds(since)}
	if end := s.terminated[c.ID]; !end.IsZero() {
		times["EndDateTime"] = seconds(end)
	}
	state, reason := s.state(c, now)
	applications := []map[string]string{{"Name": "Spark"}, {"Name": "Livy"}, {"Name": "JupyterEnterpriseGateway"}}
	for i, a := range c.made.in.Applications {
		if i == 0 {
			applications = nil
		}
		applications = append(applications, map[string]string{"Name": a.Name})
	}
	shown := map[string]any{
		"Id": c.ID, "Name": cmp.Or(c.made.in.Name, c.ID), "ClusterArn": s.arn(c.ID),
		"ReleaseLabel": cmp.Or(c.ReleaseLabel, "emr-7.12.0"), "TerminationProtected": false, "AutoTerminate": false,
		"Status":       map[string]any{"State": state, "StateChangeReason": reason, "Timeline": times},
		"Applications": applications, "ServiceRole": cmp.Or(c.made.in.ServiceRole, "EMR_DefaultRole_V2"), "Tags": append([]tag{}, c.made.in.Tags...),
		"LogUri": cmp.Or(c.made.in.LogUri, "s3n://logs/elasticmapreduce/"),
		"Ec2InstanceAttributes": map[string]any{"Ec2SubnetId": cmp.Or(c.Subnet, DefaultSubnet), "IamInstanceProfile": cmp.Or(c.made.in.JobFlowRole, "EMR_EC2_DefaultRole"),
			"EmrManagedMasterSecurityGroup": "sg-0a1b2c3d4e5f6000a", "EmrManagedSlaveSecurityGroup": "sg-0a1b2c3d4e5f6000b", "ServiceAccessSecurityGroup": "sg-0a1b2c3d4e5f6000c",
			"AdditionalMasterSecurityGroups": []string{"sg-0a1b2c3d4e5f6000d"}},
	}
	if c.SecurityConfiguration != "" {
		shown["SecurityConfiguration"] = c.SecurityConfiguration
	}
	if c.PrimaryDNS != "" {
		shown["MasterPublicDnsName"] = c.PrimaryDNS
	}
	return map[string]any{"Cluster": shown}, nil
}

func (s *Sim) busy(cluster string, now time.Time) bool {
	for _, x := range s.executions {
		if x.in.ExecutionEngine.ID == cluster && !s.at(x, now).Phase.Over() {
			return true
		}
	}
	return false
}

// credentials issues a user name and password; each request gets others.
func (s *Sim) credentials(body []byte, now time.Time) (any, *refusal) {
	var in struct {
		ID   string `json:"ClusterId"`
		Role string `json:"ExecutionRoleArn"`
	}
	if no := read(body, &in); no != nil {
		return nil, no
	}
	c, no := s.cluster(in.ID)
	switch {
	case no != nil:
		return nil, no
	case !s.terminated[c.ID].IsZero():
		return nil, invalid("Cluster '%s' is terminated.", c.ID)
	case c.SecurityConfiguration == "":
		return nil, invalid("Cluster '%s' has no security configuration that allows runtime roles.", c.ID)
	case !strings.HasPrefix(in.Role, "arn:aws:iam::"):
		return nil, invalid("ExecutionRoleArn '%s' is not valid.", in.Role)
	}
	n := len(s.issued) + 1
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", c.ID, n, now.UnixNano()))
	issued := credentials{c.ID, fmt.Sprintf("simulated-%d", n), hex.EncodeToString(sum[:16]), now.Add(lasting)}
	s.issued = append(s.issued, issued)
	return map[string]any{
		"Credentials": map[string]any{"UsernamePassword": map[string]string{"Username": issued.user, "Password": issued.password}},
		"ExpiresAt":   seconds(issued.expires),
	}, nil
}
