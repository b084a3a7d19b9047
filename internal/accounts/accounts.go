// Package accounts gives what clients of AWS's services in other accounts and
// Regions are made of: a function takes on one role there, which the member's stack
// has made for it. It knows STS; it must not know what the clients are for.
package accounts

import (
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	// lifetime is how long STS makes credentials valid: the least it can.
	lifetime = 15 * time.Minute
	// Kept is how long credentials are used, well below their lifetime: those of a
	// role that was made anew, or whose sessions were revoked, are refused although
	// they are valid, and a stop must not wait for their end.
	Kept = 5 * time.Minute
)

// Accounts makes configurations of clients. It may be used concurrently.
type Accounts struct {
	sdk     aws.Config
	own     string
	role    string
	session string
	options []func(*sts.Options)

	mu    sync.Mutex
	taken map[string]aws.CredentialsProvider // by the ARN of the role
}

// New takes the configuration of the account own. role is the ARN of the role to
// take on in others, with "<account>" and "<region>" in it; "" where nothing is in
// another. session is the name that CloudTrail shows there.
func New(sdk aws.Config, own, role, session string, options ...func(*sts.Options)) *Accounts {
	return &Accounts{sdk: sdk, own: own, role: role, session: session, options: options, taken: map[string]aws.CredentialsProvider{}}
}

// At is the configuration for clients in an account and Region. An account of "" is
// our own. Nothing is asked of STS before a client makes its first call, whose error
// then is STS's.
func (a *Accounts) At(account, region string) aws.Config {
	conf := a.sdk.Copy()
	conf.Region = region
	if a.role == "" || account == "" || account == a.own {
		return conf
	}
	arn := strings.NewReplacer("<account>", account, "<region>", region).Replace(a.role)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[arn] == nil {
		a.taken[arn] = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(a.sdk, a.options...), arn, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.Duration = a.session, lifetime
		}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = lifetime - Kept })
	}
	conf.Credentials = a.taken[arn]
	return conf
}
