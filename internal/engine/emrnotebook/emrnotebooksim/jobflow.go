package emrnotebooksim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// How long a new cluster takes: EMR's own take several minutes.
const (
	starting      = 3 * time.Minute
	bootstrapping = 2 * time.Minute
)

// made is what was asked of a cluster by RunJobFlow; zero for those of Config,
// which were there before.
type made struct {
	at          time.Time
	idle        time.Duration // AutoTerminationPolicy.IdleTimeout; 0: none
	fails       bool          // it does not start
	in          jobFlow
	description json.RawMessage // the request as it came, for tests
}

// jobFlow is what of RunJobFlow's body the simulator looks at.
type jobFlow struct {
	Name, ReleaseLabel, ServiceRole, JobFlowRole, SecurityConfiguration, LogUri string
	Applications                                                                []struct{ Name string }
	BootstrapActions                                                            []struct {
		Name                  string
		ScriptBootstrapAction struct {
			Path string
			Args []string
		}
	}
	Instances struct {
		Ec2SubnetID    string `json:"Ec2SubnetId"`
		InstanceGroups []struct {
			InstanceRole, InstanceType string
			InstanceCount              int
		}
	}
	AutoTerminationPolicy struct{ IdleTimeout int64 }
	Tags                  []tag
}

// RefuseClusters makes RunJobFlow refuse, or what it makes fail to start.
func (s *Sim) RefuseClusters(refuse, fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseClusters, s.failClusters = refuse, fail
}

// Made are the clusters that were made by RunJobFlow: their ids, and what was
// asked for.
func (s *Sim) Made() (ids []string, asked []json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.config.Clusters {
		if !c.made.at.IsZero() {
			ids, asked = append(ids, c.ID), append(asked, c.made.description)
		}
	}
	return ids, asked
}

// State is a cluster's, as DescribeCluster tells it; "" where there is none.
func (s *Sim) State(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.retire(now)
	c, no := s.cluster(id)
	if no != nil {
		return ""
	}
	state, _ := s.state(c, now)
	return state
}

func (s *Sim) runJobFlow(body []byte, now time.Time) (any, *refusal) {
	var in jobFlow
	if no := read(body, &in); no != nil {
		return nil, no
	}
	idle := time.Duration(in.AutoTerminationPolicy.IdleTimeout) * time.Second
	switch groups := in.Instances.InstanceGroups; {
	case s.refuseClusters:
		return nil, invalid("EMR service role %s is invalid", in.ServiceRole)
	case in.Name == "" || in.ServiceRole == "" || in.JobFlowRole == "" || in.ReleaseLabel == "":
		return nil, invalid("Name, ReleaseLabel, ServiceRole and JobFlowRole are required.")
	case len(groups) == 0 || groups[0].InstanceRole != "MASTER" || groups[0].InstanceCount != 1:
		return nil, invalid("There must be one instance group MASTER, of one instance.")
	case idle != 0 && (idle < time.Minute || idle > 7*24*time.Hour):
		return nil, invalid("IdleTimeout must be from 60 to 604800 seconds.")
	}
	c := Cluster{
		ID: fmt.Sprintf("j-%d0SIM%d", s.config.Series, len(s.config.Clusters)), ReleaseLabel: in.ReleaseLabel, SecurityConfiguration: in.SecurityConfiguration, Subnet: in.Instances.Ec2SubnetID,
		made: made{at: now, idle: idle, fails: s.failClusters, in: in, description: slices.Clone(body)},
	}
	s.config.Clusters = append(s.config.Clusters, c)
	return map[string]string{"JobFlowId": c.ID, "ClusterArn": s.arn(c.ID)}, nil
}

func (s *Sim) terminateJobFlows(body []byte, now time.Time) (any, *refusal) {
	var in struct {
		IDs []string `json:"JobFlowIds"`
	}
	if no := read(body, &in); no != nil {
		return nil, no
	}
	for _, id := range in.IDs {
		if _, no := s.cluster(id); no != nil {
			return nil, no
		}
	}
	for _, id := range in.IDs {
		if _, before := s.terminated[id]; !before {
			s.terminated[id] = now
		}
	}
	return map[string]any{}, nil
}

// listClusters answers two clusters a page, so that whoever looks for one reads on.
func (s *Sim) listClusters(body []byte, now time.Time) (any, *refusal) {
	var in struct {
		ClusterStates []string
		Marker        string
	}
	if no := read(body, &in); no != nil {
		return nil, no
	}
	first, err := strconv.Atoi(cmp.Or(in.Marker, "0"))
	if err != nil {
		return nil, invalid("Marker '%s' is not valid.", in.Marker)
	}
	found := []map[string]any{}
	for _, c := range s.config.Clusters {
		if state, reason := s.state(c, now); len(in.ClusterStates) == 0 || slices.Contains(in.ClusterStates, state) {
			found = append(found, map[string]any{"Id": c.ID, "Name": cmp.Or(c.made.in.Name, c.ID), "ClusterArn": s.arn(c.ID), "Status": map[string]any{"State": state, "StateChangeReason": reason}})
		}
	}
	first = min(first, len(found))
	last := min(first+2, len(found))
	answer := map[string]any{"Clusters": found[first:last]}
	if last < len(found) {
		answer["Marker"] = strconv.Itoa(last)
	}
	return answer, nil
}

func (s *Sim) listBootstrapActions(body []byte) (any, *refusal) {
	c, no := s.asked(body)
	if no != nil {
		return nil, no
	}
	told := []map[string]any{}
	if c.made.at.IsZero() {
		told = append(told, map[string]any{"Name": "background sessions", "ScriptPath": "s3://bootstrap/background-sessions.sh", "Args": []string{"--on"}})
	}
	for _, b := range c.made.in.BootstrapActions {
		told = append(told, map[string]any{"Name": b.Name, "ScriptPath": b.ScriptBootstrapAction.Path, "Args": b.ScriptBootstrapAction.Args})
	}
	return map[string]any{"BootstrapActions": told}, nil
}

func (s *Sim) arn(cluster string) string {
	return "arn:aws:elasticmapreduce:" + s.config.Region + ":" + s.config.Account + ":cluster/" + cluster
}

// state is a cluster's, and why.
func (s *Sim) state(c Cluster, now time.Time) (state string, reason map[string]string) {
	age := now.Sub(c.made.at)
	switch end := s.terminated[c.ID]; {
	case !end.IsZero() && !now.Before(end):
		return "TERMINATED", map[string]string{"Code": "USER_REQUEST", "Message": "Terminated by user request"}
	case c.made.fails && age >= starting:
		return "TERMINATED_WITH_ERRORS", map[string]string{"Code": "BOOTSTRAP_FAILURE", "Message": "On the master instance, bootstrap action 1 returned a non-zero return code"}
	case !c.made.at.IsZero() && age < starting:
		return "STARTING", map[string]string{"Message": "Provisioning Amazon EC2 capacity"}
	case !c.made.at.IsZero() && age < starting+bootstrapping:
		return "BOOTSTRAPPING", map[string]string{"Message": "Running bootstrap actions"}
	case s.busy(c.ID, now):
		return "RUNNING", map[string]string{"Message": "Running notebook execution"}
	}
	return "WAITING", map[string]string{"Message": "Cluster ready to run steps."}
}

// retire ends the clusters that have been without work for as long as their policy
// says.
func (s *Sim) retire(now time.Time) {
	for _, c := range s.config.Clusters {
		if c.made.idle == 0 || !s.terminated[c.ID].IsZero() {
			continue
		}
		last := c.made.at.Add(starting + bootstrapping)
		for _, x := range s.executions {
			if m := s.at(x, now); x.in.ExecutionEngine.ID == c.ID {
				if !m.Phase.Over() {
					last = now
				} else if m.Ended.After(last) {
					last = m.Ended
				}
			}
		}
		if end := last.Add(c.made.idle); !now.Before(end) {
			s.terminated[c.ID] = end
		}
	}
}
