package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// survivors are the mutants that no test can notice, or needs to: a line each,
// the mutant's name, a tab, and why.
//
//go:embed survivors.txt
var survivors string

func reasons() (map[string]string, error) {
	all := map[string]string{}
	for line := range strings.Lines(survivors) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, "\t")
		if !ok || strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("survivors.txt: %q gives no reason", line)
		}
		all[name] = why
	}
	return all, nil
}

// mutant is one guard removed. Its name has no line in it, so that it stays the
// same while other things change.
type mutant struct {
	number int // from 1
	name   string
	place  string // file:line
	killer string // the package whose tests noticed it; "" while none has
}

// switches is added to a package that is mutated.
const switches = `package %s

import (
	"os"
	"strconv"
)

var mutant = func() int { n, _ := strconv.Atoi(os.Getenv(%q)); return n }()

// mutantNever removes a guard, mutantNot turns it round, mutantAlways drops a part of it.
func mutantNever(n int, c bool) bool  { return c && mutant != n }
func mutantNot(n int, c bool) bool    { return c != (mutant == n) }
func mutantAlways(n int, c bool) bool { return c || mutant == n }

func mutantOr[T any](n int, is, instead T) T {
	if mutant == n {
		return instead
	}
	return is
}

// mutantTrue has a condition of DynamoDB hold always; all its names are still used.
func mutantTrue(n int, condition string) string {
	if mutant == n {
		return "(" + condition + ") OR attribute_not_exists(mutant)"
	}
	return condition
}
`

// mutate writes the group's overlay and answers its mutants.
func (g group) mutate(work string) ([]*mutant, error) {
	m := &maker{names: map[string]int{}}
	overlay := map[string]string{}
	for i, path := range g.files {
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m.set, m.path = token.NewFileSet(), path
		file, err := parser.ParseFile(m.set, path, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		m.file(file)
		var out bytes.Buffer
		if err := format.Node(&out, m.set, file); err != nil {
			return nil, err
		}
		files := map[string][]byte{path: out.Bytes()}
		if i == 0 {
			files[filepath.Join(filepath.Dir(path), "zz_mutant.go")] = fmt.Appendf(nil, switches, file.Name.Name, variable)
		}
		for path, content := range files {
			from, err := filepath.Abs(path)
			if err != nil {
				return nil, err
			}
			to := filepath.Join(work, g.name+"-"+filepath.Base(path))
			if err := os.WriteFile(to, content, 0o600); err != nil {
				return nil, err
			}
			overlay[from] = to
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	return m.mutants, os.WriteFile(filepath.Join(work, g.name+".json"), list, 0o600)
}

// maker puts switches into one file after the other.
type maker struct {
	set     *token.FileSet
	path    string
	within  string // the function or variable it is in
	mutants []*mutant
	names   map[string]int
}

// add makes a mutant of an expression and answers its number, as an expression.
func (m *maker) add(what string, e ast.Expr) ast.Expr {
	var text bytes.Buffer
	_ = format.Node(&text, m.set, e) // the text is for people
	name := fmt.Sprintf("%s: %s: %s %s", m.path, m.within, what, strings.Join(strings.Fields(text.String()), " "))
	m.names[name]++
	if n := m.names[name]; n > 1 {
		name += fmt.Sprintf(" (%d)", n)
	}
	x := &mutant{number: len(m.mutants) + 1, name: name, place: m.set.Position(e.Pos()).String()}
	m.mutants = append(m.mutants, x)
	return &ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(x.number)}
}

func call(name string, args ...ast.Expr) ast.Expr {
	return &ast.CallExpr{Fun: ast.NewIdent(name), Args: args}
}

func (m *maker) file(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				m.within = d.Name.Name
				ast.Inspect(d.Body, m.visit)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
					m.within = v.Names[0].Name
					m.table(v)
				}
			}
		}
	}
}

func (m *maker) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		n.Cond = m.guard(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, c := range n.Body.List {
				list := c.(*ast.CaseClause).List
				for i := range list {
					list[i] = m.guard(list[i])
				}
			}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "ConditionExpression" {
			n.Value = m.condition(n.Value)
		}
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			if sel, ok := to.(*ast.SelectorExpr); ok && sel.Sel.Name == "ConditionExpression" {
				n.Rhs[i] = m.condition(n.Rhs[i])
			} else if id, ok := to.(*ast.Ident); ok && id.Name == "condition" && len(n.Rhs) == len(n.Lhs) {
				n.Rhs[i] = m.expression(n.Rhs[i])
			}
		}
	}
	return true
}

// guard makes a condition that can be removed, turned round, and each part of
// which can be dropped. That an error is passed on is no guard of ours.
func (m *maker) guard(e ast.Expr) ast.Expr {
	if passesError(e) {
		return e
	}
	whole := e
	never, not := m.add("never", whole), m.add("not", whole)
	return call("mutantNot", not, call("mutantNever", never, m.parts(e)))
}

func passesError(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != token.NEQ && b.Op != token.EQL {
		return false
	}
	x, okX := b.X.(*ast.Ident)
	y, okY := b.Y.(*ast.Ident)
	return okX && okY && x.Name == "err" && y.Name == "nil"
}

func (m *maker) parts(e ast.Expr) ast.Expr {
	if p, ok := e.(*ast.ParenExpr); ok {
		return &ast.ParenExpr{X: m.parts(p.X)}
	}
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != token.LAND && b.Op != token.LOR {
		return e
	}
	with := "mutantAlways"
	if b.Op == token.LOR {
		with = "mutantNever"
	}
	part := func(x ast.Expr) ast.Expr {
		if passesError(x) {
			return x
		}
		n := m.add("without", x)
		return call(with, n, m.parts(x))
	}
	return &ast.BinaryExpr{X: part(b.X), Op: b.Op, Y: part(b.Y)}
}

// condition is a *string that is a condition of DynamoDB.
func (m *maker) condition(e ast.Expr) ast.Expr {
	if c, ok := e.(*ast.CallExpr); ok && len(c.Args) == 1 {
		c.Args[0] = m.expression(c.Args[0])
	}
	return e
}

// expression is a condition of DynamoDB, which can be made to hold always, and
// each term of which can.
func (m *maker) expression(e ast.Expr) ast.Expr {
	n := m.add("always holds", e)
	if lit, ok := e.(*ast.BasicLit); ok {
		if text, err := strconv.Unquote(lit.Value); err == nil && strings.Contains(text, " AND ") {
			var sum ast.Expr
			for i, term := range strings.Split(text, " AND ") {
				t := &ast.BasicLit{ValuePos: lit.ValuePos, Kind: token.STRING, Value: strconv.Quote(term)}
				var x ast.Expr = call("mutantTrue", m.add("always holds", t), t)
				x = &ast.BinaryExpr{X: &ast.BinaryExpr{X: quoted("("), Op: token.ADD, Y: x}, Op: token.ADD, Y: quoted(")")}
				if i > 0 {
					x = &ast.BinaryExpr{X: &ast.BinaryExpr{X: sum, Op: token.ADD, Y: quoted(" AND ")}, Op: token.ADD, Y: x}
				}
				sum = x
			}
			e = sum
		}
	}
	return call("mutantTrue", n, e)
}

func quoted(text string) ast.Expr {
	return &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(text)}
}

// fates are what each fate of the table of causes is turned into.
var fates = map[string]string{
	"ends": "goesOn", "goesOn": "ends", "cannot": "ends", "closes": "ends", "goesAlert": "goesOn", "closesAlert": "closes",
}

// table mutates the two tables of rules: each fate of a cause, and each rule.
func (m *maker) table(v *ast.ValueSpec) {
	if v.Names[0].Name == "clocked" {
		return // for people; time's causes are in decide.go
	}
	ast.Inspect(v, func(n ast.Node) bool {
		c, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		row := ""
		for i, e := range c.Elts {
			switch e := e.(type) {
			case *ast.Ident:
				if row == "" {
					row = e.Name
				}
				if instead, ok := fates[e.Name]; ok {
					c.Elts[i] = call("mutantOr", m.add("of "+row+" "+strconv.Itoa(i)+" "+instead+" instead of", e), e, ast.NewIdent(instead))
				}
			case *ast.KeyValueExpr:
				if _, nested := e.Value.(*ast.CompositeLit); !nested {
					e.Value = m.rule(e)
				}
			}
		}
		return true
	})
}

// rule takes a rule away, or, where the rule is that nothing happens, that.
func (m *maker) rule(kv *ast.KeyValueExpr) ast.Expr {
	key, ok := kv.Key.(*ast.Ident)
	if !ok || key.Name == "Ended" {
		return kv.Value
	}
	step := func(name string) ast.Expr {
		return &ast.SelectorExpr{X: &ast.ParenExpr{X: &ast.StarExpr{X: ast.NewIdent("step")}}, Sel: ast.NewIdent(name)}
	}
	_, says := kv.Value.(*ast.CallExpr)
	id, named := kv.Value.(*ast.Ident)
	instead := call("ignore", quoted("mutant"))
	if says || named && id.Name == "alreadyEnding" {
		instead = step("stopAccepted")
		if _, caused := map[string]bool{"SignOut": true, "RevokeInteractive": true, "RevokeBackground": true, "InteractiveExpired": true, "NotebookClosed": true,
			"UserDisabled": true, "UserDeleted": true, "AccessRemoved": true, "StopRequested": true, "WaiterAborted": true, "KernelStopped": true}[key.Name]; caused {
			instead = step("apply")
		}
	}
	return call("mutantOr[rule]", m.add("another rule for "+key.Name+" than", kv.Value), kv.Value, instead)
}
