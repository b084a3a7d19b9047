package main_test

import (
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
	"golang.org/x/tools/go/types/typeutil"
)

// The module's own packages are read with their bodies, everything else by its
// types only: what other modules call back is told from what they are handed.
var sources = sync.OnceValues(func() (map[string]*ssa.Package, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	loaded, err := packages.Load(&packages.Config{
		Dir: root,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes |
			packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedExportFile | packages.NeedDeps | packages.NeedModule,
	}, "./functions/...", "./internal/...")
	if err != nil {
		return nil, err
	}
	for _, p := range loaded {
		for _, e := range p.Errors {
			return nil, e
		}
	}
	program, made := ssautil.Packages(loaded, ssa.InstantiateGenerics)
	program.Build()
	all := map[string]*ssa.Package{}
	for i, p := range made {
		all[loaded[i].PkgPath] = p
	}
	return all, nil
})

// reach is what a main can come to: functions, and calls of AWS's SDK. It takes
// too much rather than too little: a call through an interface goes to every type
// that became an interface on the way; a call of a function value to every
// function of that signature whose value was taken on the way, but where both the
// value and the call are known to be of one field.
type reach struct {
	program *ssa.Program
	cut     map[string]bool                 // functions that are not entered, and whether one would have been
	seen    map[*ssa.Function]*ssa.Function // and from where first
	work    []*ssa.Function
	calls   map[string]*ssa.Function // of the SDK, and from where first

	made    typeutil.Map // types that became interfaces
	invoked map[*types.Func]invocation
	taken   map[*ssa.Function]bool
	called  typeutil.Map // signatures of calls of function values, and from where first
	kept    map[*types.Var]*keeping
}

// invocation is a call through an interface, and from where first.
type invocation struct {
	of   *types.Interface
	from *ssa.Function
}

// keeping is a field that holds functions. Which ones is known as long as those
// are written where they are put into it, and what is read from it is called there;
// else it is open, and its functions count as taken.
type keeping struct {
	holds  []*ssa.Function
	caller *ssa.Function // nil: what it holds is not called
	open   bool
}

const awsServices = "github.com/aws/aws-sdk-go-v2/service/"

// reachOf follows a main, without the functions that cut names.
func reachOf(t *testing.T, main string, cut []string) *reach {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	p := all["nightshift/functions/"+main]
	if p == nil {
		t.Fatalf("functions/%s is no package", main)
	}
	r := &reach{
		program: p.Prog, cut: map[string]bool{}, seen: map[*ssa.Function]*ssa.Function{}, calls: map[string]*ssa.Function{},
		invoked: map[*types.Func]invocation{}, taken: map[*ssa.Function]bool{}, kept: map[*types.Var]*keeping{},
	}
	for _, c := range cut {
		r.cut[c] = false
	}
	r.enter(p.Func("init"), nil)
	r.enter(p.Func("main"), nil)
	for len(r.work) > 0 {
		f := r.work[len(r.work)-1]
		r.work = r.work[:len(r.work)-1]
		for _, b := range f.Blocks {
			for _, i := range b.Instrs {
				r.follow(i, f)
			}
		}
	}
	return r
}

// spelled is a function's name without what differs between us and the compiler.
func spelled(f *ssa.Function) string {
	return strings.ReplaceAll(strings.TrimSuffix(f.String(), "$bound"), "nightshift/", "")
}

// enter notes a function, and a call of the SDK where it is one.
func (r *reach) enter(f, from *ssa.Function) {
	if f == nil {
		return
	}
	if _, seen := r.seen[f]; seen {
		return
	}
	if _, cut := r.cut[spelled(f)]; cut {
		r.cut[spelled(f)] = true
		return
	}
	r.seen[f] = from
	r.work = append(r.work, f)
	// (*github.com/aws/aws-sdk-go-v2/service/sfn.Client).StartExecution
	if rest, ok := strings.CutPrefix(spelled(f), "(*"+awsServices); ok {
		if service, operation, ok := strings.Cut(rest, ".Client)."); ok && operation != "Options" {
			r.calls[service+"."+operation] = from
		}
	}
}

func (r *reach) follow(i ssa.Instruction, f *ssa.Function) {
	var only *ssa.Value // an operand that is called there, not given away
	switch i := i.(type) {
	case ssa.CallInstruction:
		r.call(i.Common(), f)
		only = &i.Common().Value
	case *ssa.MakeInterface:
		r.convert(i.X.Type(), i.Type(), f)
	case *ssa.ChangeInterface:
		r.lend(i.Type(), f)
	case *ssa.ChangeType:
		if outside(i.Type()) {
			r.dynamic(i.X.Type(), f)
		}
	case *ssa.Store:
		r.store(i, f)
		only = &i.Val
	case *ssa.FieldAddr:
		r.read(i, fieldOf(i), f)
	case *ssa.Field:
		r.read(i, fieldOf(i), f)
	case *ssa.MakeClosure:
		for _, user := range *i.Referrers() {
			switch user := user.(type) {
			case *ssa.Store:
				if user.Val == i {
					continue // store sees to it
				}
			case ssa.CallInstruction:
				if user.Common().Value == i && !slices.Contains(user.Common().Args, ssa.Value(i)) {
					continue
				}
			case *ssa.DebugRef:
				continue
			}
			r.take(i.Fn.(*ssa.Function), f)
		}
		only = &i.Fn
	case *ssa.Alloc:
		r.written(i.Type(), f)
	}
	var places [10]*ssa.Value
	for _, v := range i.Operands(places[:0]) {
		if fn, ok := (*v).(*ssa.Function); ok && v != only {
			r.take(fn, f)
		}
	}
}

func (r *reach) call(c *ssa.CallCommon, from *ssa.Function) {
	if c.IsInvoke() {
		r.invoke(c.Method, c.Value.Type().Underlying().(*types.Interface), from)
		return
	}
	f := c.StaticCallee()
	if f != nil {
		r.enter(f, from)
	} else if _, builtin := c.Value.(*ssa.Builtin); !builtin && fieldOf(c.Value) == nil {
		r.dynamic(c.Value.Type(), from)
	}
	if f == nil || len(f.Blocks) == 0 { // it may be another module's, and call what it is handed
		for _, a := range c.Args {
			r.dynamic(a.Type(), from)
		}
	}
}

// fieldOf is the field of one of our structs that a value or an address is of,
// where that holds a function; else nil.
func fieldOf(v ssa.Value) *types.Var {
	if load, ok := v.(*ssa.UnOp); ok && load.Op == token.MUL {
		v = load.X
	}
	var of types.Type
	var n int
	switch v := v.(type) {
	case *ssa.FieldAddr:
		of, n = v.X.Type(), v.Field
	case *ssa.Field:
		of, n = v.X.Type(), v.Field
	default:
		return nil
	}
	if p, ok := of.Underlying().(*types.Pointer); ok {
		of = p.Elem()
	}
	field := of.Underlying().(*types.Struct).Field(n).Origin()
	if _, ok := field.Type().Underlying().(*types.Signature); !ok || outside(of) {
		return nil
	}
	return field
}

func (r *reach) keeping(field *types.Var) *keeping {
	if r.kept[field] == nil {
		r.kept[field] = &keeping{}
	}
	return r.kept[field]
}

func (r *reach) store(s *ssa.Store, from *ssa.Function) {
	var fn *ssa.Function
	switch v := s.Val.(type) {
	case *ssa.Function:
		fn = v
	case *ssa.MakeClosure:
		fn = v.Fn.(*ssa.Function)
	}
	field := fieldOf(s.Addr)
	switch {
	case field == nil:
		if a, ok := s.Addr.(*ssa.FieldAddr); ok && outside(a.X.Type()) {
			r.dynamic(s.Val.Type(), from)
		}
		if fn != nil {
			r.take(fn, from)
		}
	case fn == nil:
		if c, ok := s.Val.(*ssa.Const); !ok || !c.IsNil() {
			r.open(field, from)
		}
	default:
		k := r.keeping(field)
		k.holds = append(k.holds, fn)
		if k.caller != nil {
			r.enter(fn, k.caller)
		}
		if k.open {
			r.take(fn, from)
		}
	}
}

// read follows what is done with a field that holds functions.
func (r *reach) read(v ssa.Value, field *types.Var, from *ssa.Function) {
	if field == nil {
		return
	}
	for _, user := range *v.Referrers() {
		switch user := user.(type) {
		case *ssa.UnOp:
			r.read(user, field, from)
			continue
		case *ssa.Store:
			if user.Addr == v {
				continue
			}
		case *ssa.DebugRef, *ssa.BinOp, *ssa.If: // compared with nil
			continue
		case ssa.CallInstruction:
			if user.Common().Value == v && !slices.Contains(user.Common().Args, v) {
				r.callKept(field, from)
				continue
			}
		}
		r.open(field, from)
	}
}

func (r *reach) callKept(field *types.Var, from *ssa.Function) {
	k := r.keeping(field)
	if k.caller != nil {
		return
	}
	k.caller = from
	for _, fn := range k.holds {
		r.enter(fn, from)
	}
	if k.open {
		r.dynamic(field.Type(), from)
	}
}

func (r *reach) open(field *types.Var, from *ssa.Function) {
	k := r.keeping(field)
	if k.open {
		return
	}
	k.open = true
	for _, fn := range k.holds {
		r.take(fn, from)
	}
	if k.caller != nil {
		r.dynamic(field.Type(), k.caller)
	}
}

// dynamic notes that functions of a signature are called.
func (r *reach) dynamic(t types.Type, from *ssa.Function) {
	s, ok := t.Underlying().(*types.Signature)
	if !ok || r.called.At(s) != nil {
		return
	}
	r.called.Set(s, from)
	for f := range maps.Clone(r.taken) {
		if types.Identical(f.Signature, s) {
			r.enter(f, from)
		}
	}
}

func (r *reach) take(f, from *ssa.Function) {
	if r.taken[f] {
		return
	}
	r.taken[f] = true
	if caller, ok := r.called.At(f.Signature).(*ssa.Function); ok {
		r.enter(f, caller)
	}
}

// convert notes a type that becomes an interface; another module's interface is
// called by that module.
func (r *reach) convert(x, to types.Type, from *ssa.Function) {
	r.dynamic(x, from) // a function handed on as any: lambda.Start
	r.lend(to, from)
	if r.made.At(x) != nil {
		return
	}
	r.made.Set(x, true)
	for m, i := range maps.Clone(r.invoked) {
		r.dispatch(x, m, i)
	}
}

func (r *reach) lend(to types.Type, from *ssa.Function) {
	if i, ok := to.Underlying().(*types.Interface); ok && outside(to) {
		for k := range i.NumMethods() {
			r.invoke(i.Method(k), i, from)
		}
	}
}

func (r *reach) invoke(m *types.Func, of *types.Interface, from *ssa.Function) {
	if _, ok := r.invoked[m]; ok {
		return
	}
	r.invoked[m] = invocation{of, from}
	for _, x := range r.made.Keys() {
		r.dispatch(x, m, r.invoked[m])
	}
}

func (r *reach) dispatch(x types.Type, m *types.Func, i invocation) {
	if types.IsInterface(x) || !types.Implements(x, i.of) {
		return
	}
	if s := r.program.MethodSets.MethodSet(x).Lookup(m.Pkg(), m.Name()); s != nil {
		r.enter(r.program.MethodValue(s), i.from)
	}
}

// written notes what a transaction of DynamoDB is made of: each kind of item asks
// for a permission of its own.
func (r *reach) written(t types.Type, from *ssa.Function) {
	kind, ok := strings.CutPrefix(strings.TrimLeft(t.String(), "*"), awsServices+"dynamodb/types.")
	if ok && slices.Contains([]string{"Put", "Update", "Delete", "ConditionCheck"}, kind) {
		r.calls["dynamodb.TransactWriteItems."+kind] = from
	}
}

// outside says whether a type with a name is another module's.
func outside(t types.Type) bool {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	return ok && (n.Obj().Pkg() == nil || !strings.HasPrefix(n.Obj().Pkg().Path(), "nightshift/"))
}

// way tells how a call was come to first, for a person to judge.
func (r *reach) way(call string) string {
	var steps []string
	for f := r.calls[call]; f != nil; f = r.seen[f] {
		steps = append(steps, spelled(f))
	}
	slices.Reverse(steps)
	return strings.Join(steps, " -> ")
}
