package emrcontainerssim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// The states of a virtual cluster.
const (
	clusterRunning     = "RUNNING"
	clusterTerminating = "TERMINATING"
	clusterTerminated  = "TERMINATED"
	clusterArrested    = "ARRESTED"
)

// Termination is how long a virtual cluster is TERMINATING.
const Termination = 2 * time.Minute

// cluster is one virtual cluster.
type cluster struct {
	id       string
	created  time.Time
	deleted  time.Time // zero: nobody asked
	arrested bool
	input    clusterInput
}

// clusterInput is CreateVirtualCluster's body.
type clusterInput struct {
	Name                    string            `json:"name"`
	ClientToken             string            `json:"clientToken,omitempty"`
	ContainerProvider       containerProvider `json:"containerProvider"`
	SecurityConfigurationID string            `json:"securityConfigurationId,omitempty"`
	Tags                    map[string]string `json:"tags,omitempty"`
}

type containerProvider struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Info struct {
		EKS struct {
			Namespace string `json:"namespace"`
		} `json:"eksInfo"`
	} `json:"info"`
}

// found is a virtual cluster that is there from the beginning.
func found(id string, at time.Time) *cluster {
	c := &cluster{id: id, created: at, input: clusterInput{Name: id}}
	c.input.ContainerProvider.Type, c.input.ContainerProvider.ID = "EKS", "simulated"
	c.input.ContainerProvider.Info.EKS.Namespace = id
	return c
}

func (c *cluster) state(now time.Time) string {
	switch {
	case c.arrested:
		return clusterArrested
	case c.deleted.IsZero():
		return clusterRunning
	case now.Sub(c.deleted) < Termination:
		return clusterTerminating
	}
	return clusterTerminated
}

// Arrest makes a virtual cluster ARRESTED, as one is whose namespace the service
// cannot reach, or lets it go.
func (s *Sim) Arrest(id string, arrested bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clusters {
		if c.id == id {
			c.arrested = arrested
		}
	}
}

func (s *Sim) createCluster(r *http.Request) (any, *refusal) {
	var in clusterInput
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, invalid("the body is not JSON: %v", err)
	}
	provider, now := in.ContainerProvider, s.clock.Now()
	switch {
	case in.ClientToken == "" || len(in.ClientToken) > 64:
		return nil, invalid("clientToken must have 1 to 64 characters")
	case in.Name == "" || len(in.Name) > 64:
		return nil, invalid("name must have 1 to 64 characters")
	case provider.Type != "EKS" || provider.ID == "" || provider.Info.EKS.Namespace == "":
		return nil, invalid("containerProvider must name an EKS cluster and a namespace")
	}
	for _, c := range s.clusters {
		if c.input.ClientToken == in.ClientToken {
			return s.created(c), nil
		}
	}
	for _, c := range s.clusters {
		if c.input.ContainerProvider == provider && c.state(now) != clusterTerminated {
			return nil, invalid("A virtual cluster already exists in the given namespace")
		}
	}
	c := &cluster{id: fmt.Sprintf("vc%010d%09d", s.config.Series, len(s.clusters)+1), created: now, input: in}
	s.clusters = append(s.clusters, c)
	return s.created(c), nil
}

func (s *Sim) created(c *cluster) any {
	return map[string]string{"id": c.id, "name": c.input.Name, "arn": s.arn(c.id)}
}

// deleteCluster refuses one that has live runs. What the service does then is
// not documented; this is the stricter of the guesses.
func (s *Sim) deleteCluster(id string) (any, *refusal) {
	c, no := s.cluster(id)
	if no != nil {
		return nil, no
	}
	now := s.clock.Now()
	for _, j := range s.jobs {
		if j.cluster == id && !j.life.At(now).Phase.Over() {
			return nil, invalid("Virtual cluster %s has active job runs", id)
		}
	}
	if c.state(now) == clusterTerminated {
		return nil, invalid("Virtual cluster %s is already terminated", id)
	}
	if c.deleted.IsZero() {
		c.deleted = now
	}
	return map[string]string{"id": id}, nil
}

func (s *Sim) listClusters(states []string) any {
	all, now := []any{}, s.clock.Now()
	for _, c := range s.clusters {
		if len(states) == 0 || slices.Contains(states, c.state(now)) {
			all = append(all, s.showCluster(c))
		}
	}
	return map[string]any{"virtualClusters": all}
}

func (s *Sim) cluster(id string) (*cluster, *refusal) {
	for _, c := range s.clusters {
		if c.id == id {
			return c, nil
		}
	}
	return nil, notFound("Virtual cluster " + id + " doesn't exist.")
}

func (s *Sim) describeCluster(id string) (any, *refusal) {
	c, no := s.cluster(id)
	if no != nil {
		return nil, no
	}
	return map[string]any{"virtualCluster": s.showCluster(c)}, nil
}

func (s *Sim) showCluster(c *cluster) any {
	return struct {
		clusterInput
		ClientToken string `json:"clientToken,omitempty"` // hides the input's: the service does not tell it
		ID          string `json:"id"`
		ARN         string `json:"arn"`
		State       string `json:"state"`
		CreatedAt   string `json:"createdAt"`
	}{clusterInput: c.input, ID: c.id, ARN: s.arn(c.id), State: c.state(s.clock.Now()), CreatedAt: stamp(c.created)}
}
