package doctor

import (
	"slices"
	"strings"

	"nightshift/internal/session"
)

// Domain is a domain of SageMaker Studio.
type Domain struct {
	ID, Region  string
	Status      Fact[string] // "" where there is none
	Auth        string       // SSO or IAM
	Propagation session.Tri
	Application Application
	// Home are the Regions in which Identity Center is, for this account.
	Home  Fact[[]string]
	Role  string       // the default execution role
	Trust Fact[string] // its trust policy
	// Remote are its spaces that admit remote access.
	Remote Fact[[]string]
}

// sagemaker is SageMaker as a principal.
const sagemaker = "sagemaker.amazonaws.com"

var domainRules = []rule[Domain]{
	{
		"domain-status", "The domain is there and in service", "S7.2",
		[]string{"sagemaker:DescribeDomain", "sagemaker:ListDomains"},
		func(d Domain) []verdict {
			return of("", d.Status, func(status string) []verdict {
				switch status {
				case "InService":
					return []verdict{good("", "It is in service.")}
				case "Pending", "Updating":
					return []verdict{untold("", "its status is "+status+", which passes", "Wait a few minutes, and try again.")}
				case "":
					return []verdict{bad("", "There is no such domain in this account and Region.", "Name one that exists (aws sagemaker list-domains).")}
				}
				return []verdict{bad("", "Its status is "+status+".", "Look at its failure reason: aws sagemaker describe-domain.")}
			})
		},
	},
	{
		"domain-region", "Identity Center and the domain are in one Region", "SageMaker developer guide, trusted identity propagation",
		[]string{"sso:ListInstances"},
		func(d Domain) []verdict {
			return of(d.Region, d.Home, func(regions []string) []verdict {
				if slices.Contains(regions, d.Region) {
					return []verdict{good(d.Region, "Identity Center is there, too.")}
				}
				return []verdict{bad(d.Region, "Identity Center is in "+orNone(regions)+".", "Make a domain in Identity Center's Region.")}
			})
		},
	},
	{
		"domain-auth", "The domain's users come from Identity Center", "SageMaker developer guide, trusted identity propagation",
		[]string{"sagemaker:DescribeDomain"},
		func(d Domain) []verdict {
			return d.alive(func() []verdict {
				switch d.Auth {
				case "SSO":
					return []verdict{good("", "It authenticates by Identity Center.")}
				case "":
					return []verdict{untold("", "DescribeDomain's answer does not say how it authenticates", "Try again; then compare: aws sagemaker describe-domain --domain-id "+d.ID+" --query AuthMode.")}
				}
				return []verdict{bad("", "It authenticates by "+d.Auth+": its runs are a role's, no user's.", "Make a domain with AuthMode SSO; the mode of one that exists cannot be changed.")}
			})
		},
	},
	{
		"identity-propagation", "Trusted identity propagation is on: without it runs are a role's and a sign-out touches none", "S1.8",
		[]string{"sagemaker:DescribeDomain"},
		func(d Domain) []verdict {
			return d.alive(func() []verdict {
				switch d.Propagation {
				case session.On:
					return []verdict{good("", "It is on.")}
				case session.Unknown:
					return []verdict{untold("", "DescribeDomain's answer does not say whether it is on or off", "Try again once the domain is InService; then compare: aws sagemaker describe-domain --domain-id "+d.ID+" --query DomainSettings.")}
				case session.Off:
				}
				return []verdict{bad("", "It is off: a new run uses the role's credentials, and a sign-out does not touch it.",
					"aws sagemaker update-domain --domain-id "+d.ID+" --domain-settings-for-update TrustedIdentityPropagationSettings={Status=ENABLED}; users sign in again afterwards.")}
			})
		},
	},
	{
		"application-background", "Background sessions are on in the domain's application: level 2 of 3", "S1.1",
		[]string{"sagemaker:DescribeDomain", "sso:GetApplicationSessionConfiguration"},
		func(d Domain) []verdict {
			return d.alive(func() []verdict { return applicationBackground(d.Application) })
		},
	},
	{
		"execution-role-trust", "The domain's execution role lets SageMaker assume it with its user's context", "SageMaker developer guide, trusted identity propagation: sts:AssumeRole and sts:SetContext",
		[]string{"sagemaker:DescribeDomain", "iam:GetRole"},
		func(d Domain) []verdict {
			return d.alive(func() []verdict {
				return of(d.Role, d.Trust, func(policy string) []verdict { return trusted(d.Role, policy, sagemaker) })
			})
		},
	},
	{
		"role-chaining", "No notebook assumes another role: the user's identity would be lost", "SageMaker developer guide, trusted identity propagation",
		nil, func(d Domain) []verdict {
			return d.alive(func() []verdict {
				return []verdict{caution("", "No API tells whether code in its notebooks assumes another role; where it does, the user's identity is dropped.", "Have code use the execution role's own credentials, and deny that role sts:AssumeRole.")}
			})
		},
	},
	{
		"remote-access", "No space admits remote access: identity propagation does not support it", "SageMaker developer guide, trusted identity propagation",
		[]string{"sagemaker:ListSpaces"},
		func(d Domain) []verdict {
			return d.alive(func() []verdict {
				return of("", d.Remote, func(spaces []string) []verdict {
					if len(spaces) == 0 {
						return []verdict{good("", "No space admits it.")}
					}
					return []verdict{bad(strings.Join(spaces, " "), "Remote access is on there, without the user's identity.", "aws sagemaker update-space --space-settings RemoteAccess=DISABLED, for each.")}
				})
			})
		},
	},
}

// alive judges what was described of the domain. Where there is none, that is
// said once, by domain-status.
func (d Domain) alive(judge func() []verdict) []verdict {
	return of("", d.Status, func(status string) []verdict {
		if status == "" {
			return nil
		}
		return judge()
	})
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "none that this account may see"
	}
	return strings.Join(all, ", ")
}
