package functions

import (
	"strings"

	"nightshift/internal/config"
	"nightshift/internal/console"
)

// Site is where the deployment is, and where its people sign in.
func Site(c config.Config) console.Site {
	return console.Site{Account: c.Account, Region: c.Region, IdentityRegion: c.IdentityRegion,
		SignIn: &console.SignIn{Issuer: c.ConsoleIssuer, ClientID: c.ConsoleClientID, Audience: c.ConsoleAudience}}
}

// Roles says who is who: an administrator is named by an ARN or is a group.
func Roles(c config.Config) console.Roles {
	r := console.Roles{UserClaim: c.ConsoleUserClaim, GroupsClaim: c.ConsoleGroupsClaim}
	for _, a := range c.ConsoleAdministrators {
		if strings.HasPrefix(a, "arn:") {
			r.AdminPrincipals = append(r.AdminPrincipals, a)
		} else {
			r.AdminGroups = append(r.AdminGroups, a)
		}
	}
	return r
}
