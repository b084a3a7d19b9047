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

func (s *Sim) describeCluster(body []byte, now time.Time) (any, *refusal) {
	var in struct {
		ID string `json:"ClusterId"`
	}
	if no := read(body, &in); no != nil {
		return nil, no
	}
	c, no := s.cluster(in.ID)
	if no != nil {
		return nil, no
	}
	times := map[string]float64{"CreationDateTime": seconds(s.since), "ReadyDateTime": seconds(s.since)}
	state, reason := "WAITING", map[string]string{"Message": "Cluster ready to run steps."}
	if end := s.terminated[c.ID]; !end.IsZero() {
		state, reason = "TERMINATED", map[string]string{"Code": "USER_REQUEST", "Message": "Terminated by user request"}
		times["EndDateTime"] = seconds(end)
	} else if s.busy(c.ID, now) {
		state, reason = "RUNNING", map[string]string{"Message": "Running notebook execution"}
	}
	shown := map[string]any{
		"Id": c.ID, "Name": c.ID, "ClusterArn": "arn:aws:elasticmapreduce:" + s.config.Region + ":" + s.config.Account + ":cluster/" + c.ID,
		"ReleaseLabel": cmp.Or(c.ReleaseLabel, "emr-7.12.0"), "TerminationProtected": false, "AutoTerminate": false,
		"Status": map[string]any{"State": state, "StateChangeReason": reason, "Timeline": times},
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
