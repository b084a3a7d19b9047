// Licences lists what Nightshift is made of, and what builds and tests it, each
// with its licence, and fails where one is not allowed. Go modules are asked for
// their licence file in the module cache, npm packages for what the lockfile says.
// It knows texts of licences; it is no lawyer.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// allowed are the licences that ask for no more than to be named (SPDX).
var allowed = []string{"0BSD", "Apache-2.0", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Python-2.0"}

// part is one that is used.
type part struct {
	Name, Version, Licence string // Licence: SPDX, "" where it is not known
	Use                    string // shipped in functions or the command line, used by infra and tests, or npm's
}

func main() {
	parts, err := list(".")
	for _, p := range parts {
		fmt.Printf("%-8s %-13s %s %s\n", p.Use, p.Licence, p.Name, p.Version)
	}
	if err = errors.Join(err, judge(parts)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("licences parts=%d not_allowed=0\n", len(parts))
}

// judge says which parts are under no allowed licence. One that lets us choose has
// to let us choose an allowed one.
func judge(parts []part) error {
	var errs []error
	for _, p := range parts {
		choices := strings.Split(strings.Trim(p.Licence, "()"), " OR ")
		if !slices.ContainsFunc(choices, func(c string) bool { return slices.Contains(allowed, c) }) {
			errs = append(errs, fmt.Errorf("%s %s is under %q, which is not on the list of licences that are allowed", p.Name, p.Version, p.Licence))
		}
	}
	return errors.Join(errs...)
}

// list finds all parts of the repository at root, sorted.
func list(root string) ([]part, error) {
	shipped, err := modules(root, "./functions/...", "./internal/cmd/nightshift")
	if err != nil {
		return nil, err
	}
	all, err := modules(root, "-test", "./...")
	if err != nil {
		return nil, err
	}
	var parts []part
	for dir, p := range all {
		p.Use = "tests"
		if _, ok := shipped[dir]; ok {
			p.Use = "shipped"
		}
		if p.Licence, err = licenceOf(dir); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		parts = append(parts, p)
	}
	npm, err := packages(filepath.Join(root, "infra", "package-lock.json"))
	parts = append(parts, npm...)
	slices.SortFunc(parts, func(a, b part) int {
		return strings.Compare(a.Use+a.Name+a.Version, b.Use+b.Name+b.Version)
	})
	return parts, err
}

// modules lists the modules that packages are made of, ours left out, by their
// folder in the module cache.
func modules(root string, packages ...string) (map[string]part, error) {
	args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}"}, packages...)
	cmd := exec.Command("go", args...) //nolint:noctx // it ends by itself
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	all := map[string]part{}
	for line := range strings.Lines(string(out)) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 3); len(f) == 3 {
			all[f[2]] = part{Name: f[0], Version: f[1]}
		}
	}
	return all, nil
}

// licenceOf reads a module's licence from its file.
func licenceOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if !slices.Contains([]string{"LICENSE", "LICENSE.TXT", "LICENSE.MD", "LICENCE", "COPYING"}, name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		return spdx(strings.Join(strings.Fields(string(text)), " ")), nil
	}
	return "", nil
}

// spdx tells a licence by words that no other has; "" where it has none.
func spdx(text string) string {
	for _, l := range []struct {
		name  string
		words []string
	}{
		{"Apache-2.0", []string{"Apache License", "Version 2.0, January 2004"}},
		{"MPL-2.0", []string{"Mozilla Public License", "2.0"}},
		{"GPL", []string{"GNU", "GENERAL PUBLIC LICENSE"}},
		{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "Neither the name"}},
		{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
		{"MIT", []string{"Permission is hereby granted, free of charge", "The above copyright notice and this permission notice"}},
		{"ISC", []string{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"}},
	} {
		if !slices.ContainsFunc(l.words, func(w string) bool { return !strings.Contains(text, w) }) {
			return l.name
		}
	}
	return ""
}

// packages lists what an npm lockfile says.
func packages(lockfile string) ([]part, error) {
	data, err := os.ReadFile(lockfile)
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct{ Version, License string }
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		return nil, fmt.Errorf("%s: %w", lockfile, err)
	}
	var all []part
	for path, p := range lock.Packages {
		if name, ok := strings.CutPrefix(path, "node_modules/"); ok { // "" is ours
			all = append(all, part{name, p.Version, p.License, "npm"})
		}
	}
	return all, nil
}
