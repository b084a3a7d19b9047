package main

import (
	"slices"
	"strings"
	"testing"
)

// Every part is under a licence that is allowed.
func TestLicencesAreAllowed(t *testing.T) {
	parts, err := list("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := judge(parts); err != nil {
		t.Error(err)
	}
	// One of each kind is there, so that the lists are none by mistake.
	for _, want := range []part{
		{Name: "github.com/aws/aws-sdk-go-v2", Use: "shipped", Licence: "Apache-2.0"},
		{Name: "github.com/chromedp/chromedp", Use: "tests", Licence: "MIT"},
		{Name: "github.com/spf13/pflag", Use: "shipped", Licence: "BSD-3-Clause"},
		{Name: "aws-cdk", Use: "npm", Licence: "Apache-2.0"},
	} {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.Name == want.Name && p.Use == want.Use && p.Licence == want.Licence }) {
			t.Errorf("%s is not listed as %s under %s", want.Name, want.Use, want.Licence)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		licence string
		ok      bool
	}{
		{"MIT", true}, {"(GPL-2.0 OR MIT)", true}, {"GPL-3.0", false}, {"", false}, {"MPL-2.0", false}, {"MIT AND GPL-3.0", false},
	} {
		err := judge([]part{{Name: "x", Version: "v1", Licence: c.licence}})
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "x v1") {
			t.Errorf("%q: %v", c.licence, err)
		}
	}
}
