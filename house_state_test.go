package dragoman_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// mutableState finds variables at the top level that can change. Allowed are, as long as nothing in the package assigns
// them or takes their address: tables written as composite literals or computed by a function literal, sentinel errors,
// compiled patterns and the like (see constantCalls), pools, embedded files (go:embed), interface guards, and a version
// that the linker sets. Assigning a variable of another package is found too.
func mutableState(h *tree) []offence {
	var found []offence
	for _, files := range packages(h.product(true)) {
		written := map[string]ast.Node{}
		for _, s := range files {
			for name, node := range writes(s) {
				written[name] = node
			}
		}
		for name, node := range written {
			if strings.Contains(name, ".") {
				found = append(found, h.at(node, "assigns %s, which belongs to another package", name))
			}
		}
		for _, s := range files {
			found = append(found, h.variables(s, written)...)
		}
	}
	return found
}

func (h *tree) variables(s *source, written map[string]ast.Node) []offence {
	var found []offence
	for _, decl := range s.syntax.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			if embedded(group.Doc) || embedded(value.Doc) {
				continue
			}
			for i, name := range value.Names {
				if name.Name == "_" {
					continue
				}
				if node := written[name.Name]; node != nil {
					found = append(found, h.at(name, "package variable %s is changed at %s", name.Name, h.fset.Position(node.Pos())))
				} else if !constant(value, i) {
					found = append(found, h.at(name, "package variable %s can change: pass it, or make it a constant or a table", name.Name))
				}
			}
		}
	}
	return found
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// constantCalls are the functions whose result is as good as a constant.
const constantCalls = " errors.New fmt.Errorf regexp.MustCompile template.Must strings.NewReplacer reflect.TypeFor reflect.TypeOf" +
	" netip.MustParsePrefix netip.MustParseAddr big.NewInt slog.String semconv.SchemaURL attribute.Key "

// constant says whether the i-th variable of spec holds something that nobody will change.
func constant(spec *ast.ValueSpec, i int) bool {
	if len(spec.Values) == 0 {
		return typeName(spec.Type) == "embed.FS" || typeName(spec.Type) == "sync.Pool" ||
			typeName(spec.Type) == "string" && isVersion(spec.Names[i].Name)
	}
	if i >= len(spec.Values) {
		return false
	}
	switch value := spec.Values[i].(type) {
	case *ast.CompositeLit:
		return constantType(value.Type)
	case *ast.UnaryExpr:
		literal, ok := value.X.(*ast.CompositeLit)
		return ok && typeName(literal.Type) == "sync.Pool"
	case *ast.BasicLit:
		return isVersion(spec.Names[i].Name)
	case *ast.CallExpr:
		return constantCall(value)
	}
	return false
}

func isVersion(name string) bool { return strings.EqualFold(name, "version") }

// constantType leaves out what exists to be changed: locks, atomics, maps that synchronise.
func constantType(literal ast.Expr) bool {
	name := typeName(literal)
	return name == "sync.Pool" || !strings.HasPrefix(name, "sync.") && !strings.HasPrefix(name, "atomic.") && name != "http.Client"
}

func constantCall(call *ast.CallExpr) bool {
	switch callee := ast.Unparen(call.Fun).(type) {
	case *ast.FuncLit: // a table that is computed once
		return true
	case *ast.ArrayType: // a conversion such as []byte("text")
		return true
	case *ast.IndexExpr: // a generic function
		return strings.Contains(constantCalls, " "+typeName(callee.X)+" ")
	default:
		return strings.Contains(constantCalls, " "+typeName(callee)+" ")
	}
}

// typeName writes ident, pkg.ident and *T as they stand; anything else is empty.
func typeName(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.Ident:
		return expr.Name
	case *ast.SelectorExpr:
		if x, ok := expr.X.(*ast.Ident); ok {
			return x.Name + "." + expr.Sel.Name
		}
	case *ast.StarExpr:
		return "*" + typeName(expr.X)
	}
	return ""
}

// writes finds the variables at the top level, of this package ("name") or another ("pkg.name"), that a file assigns,
// counts up or takes the address of.
func writes(s *source) map[string]ast.Node {
	imported := map[string]bool{}
	for _, u := range s.uses() {
		imported[u.node.X.(*ast.Ident).Name] = true
	}
	found := map[string]ast.Node{}
	note := func(target ast.Expr) {
		if name := s.topLevel(target, imported); name != "" {
			found[name] = target
		}
	}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			for _, target := range node.Lhs {
				note(target)
			}
		case *ast.IncDecStmt:
			note(node.X)
		case *ast.UnaryExpr:
			if node.Op == token.AND {
				note(node.X)
			}
		case *ast.CallExpr:
			if name := typeName(node.Fun); (name == "delete" || name == "clear") && len(node.Args) > 0 {
				note(node.Args[0])
			}
		}
		return true
	})
	return found
}

// topLevel names the variable at the top level that an expression is part of; empty for a local one. The parser resolves
// names within their file: what it did not find is declared in another file of the package.
func (s *source) topLevel(expr ast.Expr, imported map[string]bool) string {
	for {
		switch e := expr.(type) {
		case *ast.IndexExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		case *ast.StarExpr:
			expr = e.X
		case *ast.SelectorExpr:
			if x, ok := e.X.(*ast.Ident); ok && x.Obj == nil && imported[x.Name] {
				return x.Name + "." + e.Sel.Name
			}
			expr = e.X
		case *ast.Ident:
			if e.Obj != nil && s.syntax.Scope.Lookup(e.Name) != e.Obj {
				return ""
			}
			return e.Name
		default:
			return ""
		}
	}
}
