// Package cluster writes and reads what an EMR on EC2 cluster needs for user
// background sessions: the security configuration with IAM Identity Center, the
// configuration classifications of Livy, and the permissions around them. It
// knows documents, not AWS: nothing here calls anything.
//
// The key names are those of AWS's own examples (Amazon EMR Management Guide,
// "User background sessions" and "Integrate Amazon EMR with IAM Identity
// Center"). Their prose has other spellings; Read takes both, Render writes one.
package cluster

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/fault"
)

// Settings are what a security configuration is made of.
type Settings struct {
	// RoleARN is the IAM role that EMR's Identity Center application uses:
	// required.
	RoleARN string
	// CertificateS3 is the object with the certificates of in-transit encryption,
	// s3://bucket/key.zip: required, as EMR refuses Identity Center without it.
	CertificateS3 string
	// InstanceARN is the Identity Center instance; "": the account's own.
	InstanceARN string
	// SessionTag is the Lake Formation authorized session tag; "": Amazon EMR.
	SessionTag string
	// Background is EnableUserBackgroundSession. It is always written: unset is
	// off (S1.1).
	Background bool
	// AssignmentRequired says that only assigned users may use the application.
	AssignmentRequired bool
}

var (
	roleARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	instanceARN = regexp.MustCompile(`^arn:aws[a-z-]*:sso:::instance/(sso)?ins-[a-zA-Z0-9-.]{16}$`)
	objectURI   = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+\.zip$`)
)

// sessionTag is the value in AWS's examples.
const sessionTag = "Amazon EMR"

// Validate says everything that is wrong with the settings, at once; its error
// is of kind Invalid.
func (s Settings) Validate() error {
	var wrong []string
	if !roleARN.MatchString(s.RoleARN) {
		wrong = append(wrong, fmt.Sprintf("role: %q is not the ARN of an IAM role (arn:aws:iam::123456789012:role/name)", s.RoleARN))
	}
	if !objectURI.MatchString(s.CertificateS3) {
		wrong = append(wrong, fmt.Sprintf("certificates: %q is not an S3 object that ends in .zip (s3://bucket/certificates.zip)", s.CertificateS3))
	}
	if s.InstanceARN != "" && !instanceARN.MatchString(s.InstanceARN) {
		wrong = append(wrong, fmt.Sprintf("instance: %q is not the ARN of an Identity Center instance (arn:aws:sso:::instance/ssoins-1234567890abcdef)", s.InstanceARN))
	}
	if len(wrong) > 0 {
		return fault.Newf("check the cluster's settings", fault.Invalid, "%s", strings.Join(wrong, "; "))
	}
	return nil
}

// Render writes the security configuration that CreateSecurityConfiguration
// takes. The two spellings of "assignment required" are both in AWS's pages, and
// which one EMR honours is not documented, so both are written.
func Render(s Settings) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	center := map[string]any{
		"EnableIdentityCenter": true, "EnableUserBackgroundSession": s.Background,
		"IAMRoleForEMRIdentityCenterApplicationARN":   s.RoleARN,
		"IdentityCenterApplicationAssigmentRequired":  s.AssignmentRequired,
		"IdentityCenterApplicationAssignmentRequired": s.AssignmentRequired,
	}
	if s.InstanceARN != "" {
		center["IdentityCenterInstanceARN"] = s.InstanceARN
	}
	tag := s.SessionTag
	if tag == "" {
		tag = sessionTag
	}
	return json.MarshalIndent(map[string]any{
		"AuthenticationConfiguration": map[string]any{"IdentityCenterConfiguration": center},
		"AuthorizationConfiguration": map[string]any{
			"IAMConfiguration": map[string]any{
				"EnableApplicationScopedIAMRole":        true,
				"ApplicationScopedIAMRoleConfiguration": map[string]any{"PropagateSourceIdentity": true},
			},
			"LakeFormationConfiguration": map[string]any{"AuthorizedSessionTagValue": tag},
		},
		"EncryptionConfiguration": map[string]any{
			"EnableInTransitEncryption": true, "EnableAtRestEncryption": false,
			"InTransitEncryptionConfiguration": map[string]any{
				"TLSCertificateConfiguration": map[string]any{"CertificateProviderType": "PEM", "S3Object": s.CertificateS3},
			},
		},
	}, "", "  ")
}

// Classification is one configuration object of EMR.
type Classification struct {
	Classification string
	Properties     map[string]string
}

// Livy's configuration keys.
const (
	ImpersonationKey = "livy.impersonation.enabled"
	TimeoutKey       = "livy.server.session.timeout"
	SkipBusyKey      = "livy.server.session.timeout-check.skip-busy"
	ProxyGroupsKey   = "hadoop.proxyuser.livy.groups"
	ProxyHostsKey    = "hadoop.proxyuser.livy.hosts"
)

// Classifications are the configuration objects of a cluster whose Livy runs each
// session as its user, so that audit names a person (S5.3), and never collects a
// session that is busy: Livy's own idle check ends busy ones too unless it is
// told not to (S2.2).
func Classifications(idle time.Duration) []Classification {
	return []Classification{
		{"core-site", map[string]string{ProxyGroupsKey: "*", ProxyHostsKey: "*"}},
		{"livy-conf", map[string]string{ImpersonationKey: "true", SkipBusyKey: "true", TimeoutKey: strconv.FormatInt(int64(idle/time.Second), 10) + "s"}},
	}
}

// CreatorPolicy is what the creator of the security configuration needs beside
// the right to create it (S7.1).
func CreatorPolicy() []byte {
	return policy(statement{Effect: "Allow", Action: []string{"sso:PutApplicationSessionConfiguration"}, Resource: "*"})
}

// RolePolicy is what the Identity Center role of the cluster needs.
func RolePolicy() []byte {
	return policy(statement{Effect: "Allow", Resource: "*", Action: []string{
		"sso-oauth:*", "glue:*", "lakeformation:GetDataAccess", "s3:GetDataAccess", "s3:GetAccessGrantsInstanceForPrefix",
	}})
}

// IsRole says whether a text is the ARN of an IAM role.
func IsRole(arn string) bool { return roleARN.MatchString(arn) }

// RoleTrust is who may assume that role: the role of the cluster's instance
// profile, with the user's context.
func RoleTrust(instanceProfileRoleARN string) []byte {
	return policy(statement{Effect: "Allow", Principal: map[string]string{"AWS": instanceProfileRoleARN}, Action: []string{"sts:AssumeRole", "sts:SetContext"}})
}

type statement struct {
	Effect    string
	Principal map[string]string `json:",omitempty"`
	Action    []string
	Resource  string `json:",omitempty"`
}

func policy(s ...statement) []byte {
	text, err := json.MarshalIndent(map[string]any{"Version": "2012-10-17", "Statement": s}, "", "  ")
	if err != nil {
		panic(err) // strings always are JSON
	}
	return text
}
