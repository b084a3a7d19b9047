package stack

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/config"
)

// What is said of several accounts fits together, or is refused with a sentence.
func TestReadMembers(t *testing.T) {
	fits := map[string]any{
		"hub": "123456789012/us-east-1", "members": `["210987654321/eu-west-1","111122223333/eu-central-1"]`, "identityMember": "111122223333/eu-central-1",
		"endpoints": `[{"endpoint":"sagemaker/123456789012/us-west-2"},{"endpoint":"sagemaker/210987654321/eu-west-1"}]`,
	}
	with := func(more ...any) map[string]any {
		all := maps.Clone(fits)
		for i := 0; i < len(more); i += 2 {
			if all[more[i].(string)] = more[i+1]; more[i+1] == nil {
				delete(all, more[i].(string))
			}
		}
		return all
	}
	livy := func(role string) map[string]any {
		return with("livySubnets", `["subnet-0a1b2c3d"]`, "livySecurityGroups", `["sg-0a1b2c3d"]`,
			"endpoints", `[{"endpoint":"sagemaker/210987654321/eu-west-1"},{"endpoint":"livy/j-1","url":"https://h:8998","executionRoleArn":"`+role+`"}]`)
	}
	many := func(places int) string {
		var all []string
		for i := range places {
			all = append(all, fmt.Sprintf("%q", fmt.Sprintf("2%011d/eu-west-1", i)))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	for name, c := range map[string]struct {
		given map[string]any
		want  string // "" is taken
	}{
		"as it should be":                   {fits, ""},
		"the hub is the administrator":      {with("identityMember", nil, "members", `["210987654321/eu-west-1"]`), ""},
		"in an organization":                {with("organization", "o-a1b2c3d4e5"), ""},
		"the hub's account, another Region": {with("members", `["210987654321/eu-west-1","111122223333/eu-central-1","123456789012/us-west-2"]`), ""},
		"the home Region said again":        {with("identityRegion", "eu-central-1"), ""},
		"a role of a member's":              {with("jobRoles", `["arn:aws:iam::210987654321:role/training"]`), ""},
		"a server of the hub's":             {livy("arn:aws:iam::123456789012:role/livy"), ""},
		"not 12 digits":                     {with("members", `["21098765432/eu-west-1"]`), `members has "21098765432/eu-west-1"; it must be a JSON list of accounts and Regions such as "210987654321/eu-west-1".`},
		"no Region":                         {with("members", `["210987654321"]`), `members has "210987654321"; it must be`},
		"no shape of a Region":              {with("members", `["210987654321/Ireland"]`), `members has "210987654321/Ireland"; it must be`},
		"no list":                           {with("members", "210987654321/eu-west-1"), `members is "210987654321/eu-west-1"; it must be a JSON list`},
		"twice":                             {with("members", `["210987654321/eu-west-1","210987654321/eu-west-1","111122223333/eu-central-1"]`), `members has "210987654321/eu-west-1" twice`},
		"itself":                            {with("members", `["210987654321/eu-west-1","111122223333/eu-central-1","123456789012/us-east-1"]`), `members has "123456789012/us-east-1", which is hub; Nightshift's own account and Region is no member; it must be`},
		"nothing there":                     {with("members", `["210987654321/eu-west-1","111122223333/eu-central-1","210987654321/eu-west-2"]`), `members has "210987654321/eu-west-2", where no endpoint is and which is not identityMember; it must be`},
		"from China to elsewhere":           {with("members", `["210987654321/eu-west-1","111122223333/cn-north-1"]`, "identityMember", "111122223333/cn-north-1"), `members has "111122223333/cn-north-1" and hub is "123456789012/us-east-1"; EventBridge sends no events from Region to Region in China and in GovCloud`},
		"too many":                          {with("members", many(33)), `members has 33 places; at most 32 are allowed.`},
		"hub not said":                      {with("hub", nil), `hub is not given, and members is; it must be an account and a Region such as "123456789012/us-east-1".`},
		"hub is no place":                   {with("hub", "123456789012"), `hub is "123456789012"; it must be an account and a Region`},
		"members not said":                  {with("members", nil), `members is not given, and hub is; it must be`},
		"nobody's organization":             {map[string]any{"organization": "o-a1b2c3d4e5"}, `members is not given, and organization is; it must be`},
		"no organization":                   {with("organization", "acme"), `organization is "acme"; it must be the id of an organization, o-….`},
		"an administrator that is none":     {with("identityMember", "111122223333/us-east-1"), `identityMember is "111122223333/us-east-1"; it must be one of members.`},
		"another home Region":               {with("identityRegion", "eu-west-1"), `identityMember is "111122223333/eu-central-1", and identityRegion is "eu-west-1"; where both are given they must be of one Region; it must be`},
		"an endpoint of nobody's":           {with("endpoints", `[{"endpoint":"sagemaker/210987654321/eu-west-1"},{"endpoint":"sagemaker/210987654321/eu-west-3"}]`), `endpoints has sagemaker/210987654321/eu-west-3, which is at 210987654321/eu-west-3; that must be of hub's account or one of members.`},
		"a server of nobody's":              {livy("arn:aws:iam::210987654321:role/livy"), `endpoints has livy/j-1, which is at 210987654321/us-east-1; that must be of hub's account or one of members.`},
		"a role of nobody's":                {with("jobRoles", `["arn:aws:iam::999988887777:role/training"]`), `jobRoles has "arn:aws:iam::999988887777:role/training", whose account is neither hub's nor a member's; it must be`},
	} {
		_, err := Read(c.given)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v\nwant %q", name, err, c.want)
		}
	}
}

// What the functions are told of a spread, and where its parts are called from.
func TestSpreadSettings(t *testing.T) {
	s, err := Read(map[string]any{
		"hub": "123456789012/us-east-1", "members": `["210987654321/eu-west-1","111122223333/eu-central-1"]`, "identityMember": "111122223333/eu-central-1",
		"endpoints": `[{"endpoint":"sagemaker/123456789012/us-west-2"},{"endpoint":"sagemaker/210987654321/eu-west-1"}]`,
		"jobRoles":  `["arn:aws:iam::123456789012:role/a","arn:aws:iam::210987654321:role/b"]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{config.Account: "123456789012", config.IdentityAccount: "111122223333", config.IdentityRegion: "eu-central-1"}; !maps.Equal(s.Chosen, want) || s.IdentityAccount != "111122223333" {
		t.Errorf("chosen are %v, want %v", s.Chosen, want)
	}
	of := func(p config.Place) string {
		var ids []string
		for _, e := range s.enginesOf(p) {
			ids = append(ids, e.ID)
		}
		return strings.Join(slices.Concat(ids, s.rolesOf(p)), " ")
	}
	for p, want := range map[config.Place]string{
		s.Hub:        "sagemaker/123456789012/us-west-2 arn:aws:iam::123456789012:role/a",
		s.Members[0]: "sagemaker/210987654321/eu-west-1 arn:aws:iam::210987654321:role/b", s.Members[1]: "",
	} {
		if got := of(p); got != want {
			t.Errorf("%s reaches %q, want %q", p, got, want)
		}
	}
}
