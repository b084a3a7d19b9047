package cluster

import (
	"strings"

	"nightshift/internal/finding"
	"nightshift/internal/session"
)

// Cluster is what is known of a cluster beside its security configuration. The
// zero value is "nothing".
type Cluster struct {
	ReleaseLabel         string // emr-7.12.0; "" is unknown
	BootstrapConfirmed   session.Tri
	UnifiedStudioCluster session.Tri
	// Classifications are its configuration objects; nil: unknown. An empty list
	// says that there are none.
	Classifications []Classification
	Masters         int  // primary nodes; below 1 is unknown
	Known           bool // whether any of it was given: else only the document is judged
}

// Check says what a security configuration enables, and what of a cluster stands
// in the way of user background sessions (S7.1, S7.2).
func Check(c Configuration, k Cluster) []finding.Finding {
	all := []finding.Finding{center(c), background(c), role(c), transit(c), data(c), runtimeRoles(c)}
	for _, r := range c.Repaired {
		all = append(all, finding.Finding{Check: "document", Result: finding.Warning, What: r + ".", Fix: "Write the document anew: nightshift cluster render."})
	}
	if k.Known {
		all = append(all, release(k), masters(k), setting(k, "impersonation", ImpersonationKey, "true",
			"Livy runs each session as its user", "Livy runs every session as the user livy, so audit names nobody"),
			setting(k, "skip-busy", SkipBusyKey, "true",
				"Livy's idle check leaves busy sessions alone", "Livy's own idle check ends sessions that are busy, too"))
	}
	return all
}

// said makes a finding of a switch that must be on.
func said(check, where string, v *bool, unset finding.Result, on, off, fix string) finding.Finding {
	f := finding.Finding{Check: check, Where: where}
	switch {
	case v == nil:
		f.Result, f.What, f.Fix = unset, "It is not set, which is off: "+off+".", fix
	case *v:
		f.Result, f.What = finding.OK, upper(on)+"."
	default:
		f.Result, f.What, f.Fix = finding.Failure, upper(off)+".", fix
	}
	return f
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func center(c Configuration) finding.Finding {
	return said("identity-center", "EnableIdentityCenter", c.IdentityCenter, finding.Failure,
		"the cluster knows its users from IAM Identity Center", "the cluster does not know its users: there are no user sessions on it, and a sign-out touches nothing",
		"Set AuthenticationConfiguration.IdentityCenterConfiguration.EnableIdentityCenter to true.")
}

func background(c Configuration) finding.Finding {
	f := said("background-sessions", "EnableUserBackgroundSession", c.Background, finding.Failure,
		"Livy sessions may outlive their user's sign-out, where the instance allows it", "every session ends at its user's sign-out",
		"Set EnableUserBackgroundSession to true. Who creates the configuration needs sso:PutApplicationSessionConfiguration.")
	if c.Background != nil && *c.Background && c.BackgroundKey != backgroundKeys[0] {
		f.Result, f.Where = finding.Warning, c.BackgroundKey
		f.What += " The key " + c.BackgroundKey + " is that of EMR Serverless; whether EMR on EC2 honours it is not documented."
		f.Fix = "Name the key EnableUserBackgroundSession."
	}
	return f
}

func role(c Configuration) finding.Finding {
	f := finding.Finding{Check: "identity-center-role", Where: "IAMRoleForEMRIdentityCenterApplicationARN"}
	switch {
	case c.RoleARN == "":
		f.Result, f.What, f.Fix = finding.Warning, "It is not set; AWS's text calls it required, one of its examples leaves it out.",
			"Give the role of EMR's Identity Center application; the cluster's instance profile must be trusted with sts:AssumeRole and sts:SetContext."
	case !roleARN.MatchString(c.RoleARN):
		f.Result, f.What, f.Fix = finding.Failure, c.RoleARN+" is not the ARN of an IAM role.", "Give an ARN such as arn:aws:iam::123456789012:role/name."
	default:
		f.Result, f.What = finding.OK, "EMR's Identity Center application uses "+c.RoleARN+"."
	}
	return f
}

func transit(c Configuration) finding.Finding {
	f := said("in-transit-encryption", "EnableInTransitEncryption", c.InTransit, finding.Failure,
		"traffic inside the cluster is encrypted", "EMR refuses Identity Center on a cluster without encryption in transit",
		"Set EnableInTransitEncryption to true and give the certificates under TLSCertificateConfiguration.")
	if f.Result == finding.OK && c.CertificateS3 == "" {
		f.Result, f.What = finding.Warning, "It is on, but no S3Object with certificates is named."
		f.Fix = "Name the zip file with the certificates, or check the certificate provider that is used instead."
	}
	return f
}

func data(c Configuration) finding.Finding {
	f := finding.Finding{Check: "data-authorization", Where: "LakeFormationConfiguration, S3AccessGrantsConfiguration"}
	switch {
	case c.SessionTag != "":
		f.Result, f.What = finding.OK, "Data is authorized by Lake Formation, session tag "+c.SessionTag+"."
	case c.S3AccessGrants:
		f.Result, f.What = finding.OK, "Data is authorized by S3 Access Grants."
	default:
		f.Result, f.What, f.Fix = finding.Failure, "EMR needs Lake Formation or S3 Access Grants with Identity Center; neither is on.",
			"Set LakeFormationConfiguration.AuthorizedSessionTagValue, or S3AccessGrantsConfiguration.EnableS3AccessGrants."
	}
	return f
}

func runtimeRoles(c Configuration) finding.Finding {
	return said("runtime-roles", "EnableApplicationScopedIAMRole", c.RuntimeRoles, finding.Warning,
		"each session may have a role of its own", "SageMaker Unified Studio cannot launch sessions on the cluster",
		"Set IAMConfiguration.EnableApplicationScopedIAMRole to true.")
}

func release(k Cluster) finding.Finding {
	f := finding.Finding{Check: "release", Where: k.ReleaseLabel}
	can, reasons := session.SupportsBackground(session.Facts{ReleaseLabel: k.ReleaseLabel, BootstrapConfirmed: k.BootstrapConfirmed, UnifiedStudioCluster: k.UnifiedStudioCluster})
	switch can {
	case session.On:
		f.Result, f.What = finding.OK, "The release can have user background sessions."
	case session.Off:
		f.Result, f.What, f.Fix = finding.Failure, "It cannot have user background sessions; needed, and not so: "+strings.Join(reasons, "; ")+".",
			"Use emr-7.12.0 or later, or emr-7.11 with the bootstrap action that AWS Support gives."
	default:
		f.Result, f.What, f.Fix = finding.Unknown, "It cannot be told: "+strings.Join(reasons, "; ")+" is unknown.",
			"Say which release the cluster has (emr-7.12.0) and, for exactly 7.11, whether its bootstrap action ran."
	}
	return f
}

func masters(k Cluster) finding.Finding {
	f := finding.Finding{Check: "primary-nodes"}
	switch {
	case k.Masters < 1:
		f.Result, f.What, f.Fix = finding.Unknown, "How many primary nodes the cluster has is not known.", "Look at the cluster's primary instance group; there must be one."
	case k.Masters > 1:
		f.Result, f.What, f.Fix = finding.Failure, "The cluster has several primary nodes; Identity Center is not supported there.", "Use a cluster with one primary node."
	default:
		f.Result, f.What = finding.OK, "The cluster has one primary node."
	}
	return f
}

// setting checks one property of Livy's configuration.
func setting(k Cluster, check, key, want, good, bad string) finding.Finding {
	f := finding.Finding{Check: check, Where: key}
	if k.Classifications == nil {
		f.Result, f.What, f.Fix = finding.Unknown, "The cluster's configuration is not known.", "Give it, or look for "+key+" in /etc/livy/conf/livy.conf on the primary node."
		return f
	}
	for _, c := range k.Classifications {
		if c.Classification == "livy-conf" && c.Properties[key] == want {
			f.Result, f.What = finding.OK, upper(good)+"."
			return f
		}
	}
	f.Result, f.What, f.Fix = finding.Warning, upper(bad)+".", "Set "+key+" to "+want+" in the classification livy-conf: nightshift cluster render --part classifications."
	return f
}
