package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/cluster"
	"nightshift/internal/config"
	"nightshift/internal/session"
)

// Cluster is an EMR cluster on EC2.
type Cluster struct {
	ID    string
	State Fact[string]
	// Document is its security configuration; "" where it has none.
	Document Fact[string]
	// Hardware, release and settings, as package cluster judges them.
	Facts cluster.Cluster
	// Application is EMR's in Identity Center, as the document names it.
	Application Application
	// Profile is the role of its instances; Trust the trust policy of the role of
	// the Identity Center application.
	Profile Fact[string]
	Trust   Fact[string]
	// Idle is Nightshift's own idle limit.
	Idle Fact[time.Duration]
	// Said is what the deployed functions were told of it; nil: it is not tended.
	Said *config.Endpoint
}

// alive are the states of a cluster on which something can run.
var alive = map[string]bool{"STARTING": true, "BOOTSTRAPPING": true, "RUNNING": true, "WAITING": true}

var clusterRules = []rule[Cluster]{
	{
		"cluster-state", "The cluster is there and takes work", "S7.2",
		[]string{"elasticmapreduce:DescribeCluster"},
		func(c Cluster) []verdict {
			return of("", c.State, func(state string) []verdict {
				switch {
				case state == "":
					return []verdict{bad("", "There is no such cluster in this account and Region.", "Name one that exists (aws emr list-clusters --active).")}
				case !alive[state]:
					return []verdict{bad("", "It is "+state+": its sessions are over.", "Make a cluster anew: infra/README.md, clusters.")}
				}
				return []verdict{good("", "It is "+state+".")}
			})
		},
	},
	{
		"", "Identity Center, background sessions (level 3 of 3), the application's role, encryption in transit, Lake Formation or S3 Access Grants, runtime roles: the security configuration; release and bootstrap action, one primary node, impersonation, skip-busy", "S1.3, S7.1, EMR management guide, Identity Center",
		[]string{"elasticmapreduce:DescribeCluster", "elasticmapreduce:DescribeSecurityConfiguration", "elasticmapreduce:ListBootstrapActions", "elasticmapreduce:ListInstances"},
		configured,
	},
	{
		"application-background", "Background sessions are on in EMR's application: level 2 of 3", "S1.1",
		[]string{"sso:GetApplicationSessionConfiguration"},
		func(c Cluster) []verdict { return applicationBackground(c.Application) },
	},
	{
		"livy-timeout", "Livy's own idle limit is not shorter than Nightshift's: it would end sessions first, and say nothing", "S2 Livy idle, S7.2",
		[]string{"elasticmapreduce:DescribeCluster"}, livyTimeout,
	},
	{
		"identity-role-trust", "The role of EMR's Identity Center application lets the cluster's instances assume it with their user's context", "EMR management guide, Identity Center: sts:AssumeRole and sts:SetContext",
		[]string{"elasticmapreduce:DescribeSecurityConfiguration", "iam:GetInstanceProfile", "iam:GetRole"},
		func(c Cluster) []verdict {
			return of("", c.Profile, func(profile string) []verdict {
				return of("", c.Trust, func(policy string) []verdict { return trusted("", policy, profile) })
			})
		},
	},
	{
		"cluster-said", "What Nightshift was told of the cluster is what it is: modes are decided from that", "S1.1, S1.3",
		[]string{"elasticmapreduce:DescribeCluster", "elasticmapreduce:DescribeSecurityConfiguration", "lambda:GetFunctionConfiguration"}, said,
	},
}

// configured are package cluster's checks.
func configured(c Cluster) []verdict {
	if !c.Document.Known {
		return of("", c.Document, func(string) []verdict { return nil }, "security-configuration")
	}
	var conf cluster.Configuration
	if c.Document.Value != "" {
		var err error
		if conf, err = cluster.Read([]byte(c.Document.Value)); err != nil {
			v := bad("", "Its security configuration cannot be used: "+err.Error()+".", "Write it anew: nightshift cluster render.")
			v.name = "security-configuration"
			return []verdict{v}
		}
	}
	return already(cluster.Check(conf, c.Facts))
}

// livyTimeout reads livy.server.session.timeout from the cluster's classifications.
func livyTimeout(c Cluster) []verdict {
	where := cluster.TimeoutKey
	if c.Facts.Classifications == nil {
		return []verdict{untold(where, "the cluster's configuration is not known", grant)}
	}
	text := ""
	for _, k := range c.Facts.Classifications {
		if v, ok := k.Properties[cluster.TimeoutKey]; ok && k.Classification == "livy-conf" {
			text = v
		}
	}
	const fix = "Set it in the classification livy-conf: nightshift cluster render --part classifications."
	if text == "" {
		return []verdict{caution(where, "It is not set. EMR's guide says 8 hours, Livy's own default is 1 hour.", fix)}
	}
	own, ok := livyDuration(text)
	if !ok {
		return []verdict{bad(where, fmt.Sprintf("It is %q, which Livy cannot read.", text), fix)}
	}
	return of(where, c.Idle, func(ours time.Duration) []verdict {
		if own < ours {
			return []verdict{bad(where, "It is "+text+", shorter than Nightshift's idle limit of "+ours.String()+": Livy ends sessions first, and says nothing.", fix)}
		}
		return []verdict{good(where, "It is "+text+"; Nightshift's idle limit is "+ours.String()+".")}
	})
}

// livyDuration reads a time as Livy writes it: a number with ms, s, m, min, h or d,
// or without, which is milliseconds.
func livyDuration(text string) (time.Duration, bool) {
	units := []struct {
		suffix string
		of     time.Duration
	}{{"ms", time.Millisecond}, {"min", time.Minute}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}, {"", time.Millisecond}}
	text = strings.ToLower(strings.TrimSpace(text))
	for _, u := range units {
		if digits, ok := strings.CutSuffix(text, u.suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err == nil && n >= 0 && n < int64(1<<62)/int64(u.of) {
				return time.Duration(n) * u.of, true
			}
		}
	}
	return 0, false
}

// trusted wants a role to let a principal in with its user's context.
func trusted(where, policy, principal string) []verdict {
	var missing, unsure []string
	for _, action := range []string{"sts:AssumeRole", "sts:SetContext"} {
		switch Trusts(policy, principal, action) {
		case session.Off:
			missing = append(missing, action)
		case session.Unknown:
			unsure = append(unsure, action)
		case session.On:
		}
	}
	fix := "Allow " + principal + " sts:AssumeRole and sts:SetContext in the role's trust policy (aws iam update-assume-role-policy)."
	switch {
	case len(missing) > 0:
		return []verdict{bad(where, principal+" may not "+strings.Join(missing, " and ")+": the user's identity does not get through.", fix)}
	case len(unsure) > 0:
		return []verdict{untold(where, "a condition of the trust policy decides whether "+principal+" may "+strings.Join(unsure, " and "), "Look at the condition. "+fix)}
	}
	return []verdict{good(where, principal+" may assume it with its user's context.")}
}

// said compares what the functions were told with what is.
func said(c Cluster) []verdict {
	if c.Said == nil {
		return nil
	}
	var wrong []string
	told := c.Said.Facts
	if told.ReleaseLabel != "" && c.Facts.ReleaseLabel != "" && told.ReleaseLabel != c.Facts.ReleaseLabel {
		wrong = append(wrong, "releaseLabel "+told.ReleaseLabel+", it is "+c.Facts.ReleaseLabel)
	}
	readable := c.Document.Known
	if readable {
		is := session.Off
		conf, err := cluster.Read([]byte(c.Document.Value))
		if readable = err == nil || c.Document.Value == ""; conf.Background != nil && *conf.Background {
			is = session.On
		}
		if readable && told.ClusterBackground != session.Unknown && told.ClusterBackground != is {
			wrong = append(wrong, "clusterBackground "+told.ClusterBackground.String()+", it is "+is.String())
		}
	}
	where := "endpoint " + c.Said.ID
	switch {
	case len(wrong) > 0:
		return []verdict{bad(where, "Nightshift was told "+strings.Join(wrong, "; ")+".", "Mend the context key endpoints and deploy again.")}
	case !readable || c.Facts.ReleaseLabel == "":
		return []verdict{untold(where, "the cluster could not be read", grant)}
	}
	return []verdict{good(where, "What Nightshift was told of it is so.")}
}
