package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"nightshift/internal/finding"
)

// answerFindings prints findings, worst last within each check's own order, and
// answers the error whose exit status says the worst of them.
func answerFindings(out io.Writer, all []finding.Finding, asJSON bool) error {
	worst := finding.Worst(all)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"result": worst, "findings": all}); err != nil {
			return err
		}
	} else {
		printFindings(out, all)
	}
	n := 0
	for _, f := range all {
		if f.Result == worst {
			n++
		}
	}
	switch worst {
	case finding.Failure:
		return statusError{fmt.Errorf("%d of %d checks failed", n, len(all)), exitFailure}
	case finding.Unknown:
		return statusError{fmt.Errorf("%d of %d checks could not be made", n, max(n, len(all))), exitUnknown}
	case finding.OK, finding.Warning:
	}
	return nil
}

func printFindings(out io.Writer, all []finding.Finding) {
	for _, f := range all {
		where := ""
		if f.Where != "" {
			where = " (" + f.Where + ")"
		}
		fmt.Fprintf(out, "%-8s %s%s\n", f.Result, f.Check, where)
		for _, line := range wrap(f.What, 90) {
			fmt.Fprintf(out, "         %s\n", line)
		}
		if f.Fix != "" {
			for i, line := range wrap(f.Fix, 85) {
				lead := "     "
				if i == 0 {
					lead = "fix: "
				}
				fmt.Fprintf(out, "         %s%s\n", lead, line)
			}
		}
	}
}

// wrap breaks a text at spaces into lines of at most width bytes, where its
// words allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
