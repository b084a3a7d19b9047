package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nightshift/internal/fault"
)

// Configuration is what a security configuration says. A pointer is nil where the
// document does not say.
type Configuration struct {
	IdentityCenter     *bool
	InstanceARN        string
	RoleARN            string
	Background         *bool
	BackgroundKey      string // the key that said it; "" for none
	AssignmentRequired *bool
	RuntimeRoles       *bool // EnableApplicationScopedIAMRole
	SessionTag         string
	S3AccessGrants     bool
	InTransit          *bool
	CertificateS3      string
	ApplicationARN     string   // EMR's application in Identity Center; EMR adds it, and where is not documented
	Repaired           []string // what had to be overlooked to read it, a sentence each
}

// backgroundKeys are the spellings of the switch: the one of AWS's examples, and
// the one of its prose, which belongs to EMR Serverless.
var backgroundKeys = []string{"EnableUserBackgroundSession", "userBackgroundSessionsEnabled"}

var assignmentKeys = []string{"IdentityCenterApplicationAssigmentRequired", "IdentityCenterApplicationAssignmentRequired"}

// Read reads a security configuration: the document itself, or the answer of
// DescribeSecurityConfiguration that holds it as a string. It overlooks what
// AWS's own examples get wrong (a stray \ at a line's end, the two spellings) and
// says so in Repaired. Its error is of kind Invalid and says where the text stops
// being JSON.
func Read(text []byte) (Configuration, error) {
	var c Configuration
	doc, err := c.parse(text)
	if err != nil {
		return c, err
	}
	if inner, ok := doc["SecurityConfiguration"].(string); ok {
		if doc, err = c.parse([]byte(inner)); err != nil {
			return c, err
		}
	}
	center := object(doc, "AuthenticationConfiguration", "IdentityCenterConfiguration")
	authorization, transit := object(doc, "AuthorizationConfiguration"), object(doc, "EncryptionConfiguration")
	if center == nil && authorization == nil && transit == nil {
		if object(doc, "authenticationConfiguration") != nil || object(doc, "securityConfigurationData") != nil {
			return c, fault.Newf("read the security configuration", fault.Invalid, "this is a security configuration of EMR on EKS or EMR Serverless (its keys begin in lower case); clusters on EC2 have AuthenticationConfiguration")
		}
		return c, fault.Newf("read the security configuration", fault.Invalid, "there is none of AuthenticationConfiguration, AuthorizationConfiguration and EncryptionConfiguration: it is not a security configuration of EMR")
	}
	var faults []error
	c.IdentityCenter = flag(center, &faults, "EnableIdentityCenter")
	c.InstanceARN, c.RoleARN = text1(center, "IdentityCenterInstanceARN"), text1(center, "IAMRoleForEMRIdentityCenterApplicationARN")
	c.Background, c.BackgroundKey = c.either(center, &faults, backgroundKeys)
	c.AssignmentRequired, _ = c.either(center, &faults, assignmentKeys)
	c.RuntimeRoles = flag(object(authorization, "IAMConfiguration"), &faults, "EnableApplicationScopedIAMRole")
	c.SessionTag = text1(object(authorization, "LakeFormationConfiguration"), "AuthorizedSessionTagValue")
	if grants := flag(object(authorization, "S3AccessGrantsConfiguration"), &faults, "EnableS3AccessGrants"); grants != nil {
		c.S3AccessGrants = *grants
	}
	c.InTransit = flag(transit, &faults, "EnableInTransitEncryption")
	c.CertificateS3 = text1(object(transit, "InTransitEncryptionConfiguration", "TLSCertificateConfiguration"), "S3Object")
	c.ApplicationARN = anywhere(doc, "IdCApplicationARN")
	if len(faults) > 0 {
		return c, fault.New("read the security configuration", fault.Invalid, errors.Join(faults...))
	}
	return c, nil
}

// strayEnd is a backslash at the end of a line, left over from a shell command.
var strayEnd = regexp.MustCompile(`\\[ \t]*(\r?\n|$)`)

func (c *Configuration) parse(text []byte) (map[string]any, error) {
	text = bytes.TrimSpace(text)
	var doc map[string]any
	err := json.Unmarshal(text, &doc)
	if err == nil {
		return doc, nil
	}
	if mended := strayEnd.ReplaceAll(text, []byte("\n")); !bytes.Equal(mended, text) {
		mended = bytes.Trim(bytes.TrimSpace(mended), "'")
		if again := json.Unmarshal(mended, &doc); again == nil {
			c.Repaired = append(c.Repaired, `a \ at the end of a line is not JSON; it was overlooked`)
			return doc, nil
		}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + strings.Count(string(text[:min(len(text), int(syntax.Offset))]), "\n")
		return nil, fault.Newf("read the security configuration", fault.Invalid, "line %d is not JSON: %v", line, err)
	}
	return nil, fault.Newf("read the security configuration", fault.Invalid, "it is not a JSON object: %v", err)
}

// either reads a switch that has two spellings. Where both are there and differ,
// that is a fault: which one EMR honours is not documented.
func (c *Configuration) either(in map[string]any, faults *[]error, keys []string) (*bool, string) {
	var found *bool
	var by string
	for _, k := range keys {
		v := flag(in, faults, k)
		switch {
		case v == nil:
		case found != nil && *found != *v:
			*faults = append(*faults, fmt.Errorf("%s is %t and %s is %t: they are two spellings of one setting and must agree", by, *found, k, *v))
		case found == nil:
			found, by = v, k
		}
	}
	return found, by
}

// object goes down to an object; nil where one on the way is missing.
func object(in map[string]any, path ...string) map[string]any {
	for _, k := range path {
		in, _ = in[k].(map[string]any)
	}
	return in
}

// flag reads a switch; AWS's pages also write it as a string.
func flag(in map[string]any, faults *[]error, key string) *bool {
	v, ok := in[key]
	if !ok {
		return nil
	}
	on, off := true, false
	switch v {
	case true, "true":
		return &on
	case false, "false":
		return &off
	}
	*faults = append(*faults, fmt.Errorf("%s: it is %v; it must be true or false", key, v))
	return nil
}

func text1(in map[string]any, key string) string {
	s, _ := in[key].(string)
	return s
}

// anywhere finds a text by its key, in whatever case, at any depth; "" where there
// is none.
func anywhere(in any, key string) string {
	doc, _ := in.(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		if s, ok := doc[k].(string); ok && strings.EqualFold(k, key) {
			return s
		}
		if found := anywhere(doc[k], key); found != "" {
			return found
		}
	}
	return ""
}
