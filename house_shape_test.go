package dragoman_test

import (
	"fmt"
	"go/ast"
	"strings"
)

// Bounds of shape: the 95th percentiles of the code bases that this one learned from.
const (
	maxFunctionLines = 60
	maxFileLines     = 500
	maxParameters    = 5
	maxNesting       = 3
	maxExported      = 25
)

func longFunctions(h *tree) []offence {
	var found []offence
	for _, s := range h.product(false) {
		for _, decl := range s.syntax.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := h.lines(function); n > maxFunctionLines {
				found = append(found, h.at(function, "function %s has %d lines, want at most %d", function.Name.Name, n, maxFunctionLines))
			}
		}
	}
	return found
}

func longFiles(h *tree) []offence {
	var found []offence
	for _, s := range h.product(false) {
		if n := strings.Count(s.text, "\n"); n > maxFileLines {
			found = append(found, offence{file: s.file, text: fmt.Sprintf("%d lines, want at most %d", n, maxFileLines)})
		}
	}
	return found
}

// wideFunctions counts every parameter, the context among them; the receiver is none. Methods of interfaces and function
// literals count too.
func wideFunctions(h *tree) []offence {
	var found []offence
	for _, s := range h.product(false) {
		ast.Inspect(s.syntax, func(node ast.Node) bool {
			function, ok := node.(*ast.FuncType)
			if !ok {
				return true
			}
			if n := function.Params.NumFields(); n > maxParameters {
				found = append(found, h.at(function, "%d parameters, want at most %d", n, maxParameters))
			}
			return true
		})
	}
	return found
}

// deepFunctions measures nesting. Each if, for, switch and select adds a level for what stands inside; a case adds none
// beyond its switch, an else-if none beyond its if, and a bare block none. A function literal adds none either, but goes
// on from the level where it stands, so that a handler which is returned begins at the margin and a goroutine in a loop
// does not.
func deepFunctions(h *tree) []offence {
	var found []offence
	for _, s := range h.product(false) {
		for _, decl := range s.syntax.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			deepest := nesting{tree: h}
			ast.Walk(deepest.at(0), function.Body)
			for _, node := range deepest.over {
				found = append(found, h.at(node, "nested more than %d deep in %s", maxNesting, function.Name.Name))
			}
		}
	}
	return found
}

type nesting struct {
	tree *tree
	over []ast.Node // the statements that begin a level too many
}

// level is a visitor of everything at one depth.
type level struct {
	of    *nesting
	depth int
	chain ast.Stmt // the else-if that continues the level's own if
}

func (n *nesting) at(depth int) ast.Visitor { return level{of: n, depth: depth} }

func (l level) Visit(node ast.Node) ast.Visitor {
	switch node := node.(type) {
	case *ast.IfStmt:
		depth := l.depth + 1
		if node == l.chain {
			depth = l.depth
		}
		return l.enter(node, depth, node.Else)
	case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
		return l.enter(node, l.depth+1, nil)
	}
	return level{of: l.of, depth: l.depth}
}

func (l level) enter(node ast.Node, depth int, chain ast.Stmt) ast.Visitor {
	if depth == maxNesting+1 && depth > l.depth {
		l.of.over = append(l.of.over, node)
	}
	return level{of: l.of, depth: depth, chain: chain}
}

// broadPackages counts exported functions, types, constants and variables at the top level, generated ones too; methods
// and fields belong to their type. Package mcp is the vocabulary of everything and
// internal/config that of the file, a type for each section; they may have more.
func broadPackages(h *tree) []offence {
	var found []offence
	for dir, files := range packages(h.product(true)) {
		count := 0
		for _, s := range files {
			for _, decl := range s.syntax.Decls {
				count += exported(decl)
			}
		}
		if dir != "mcp" && dir != "internal/config" && count > maxExported {
			found = append(found, offence{file: dir, text: fmt.Sprintf("%d exported names, want at most %d", count, maxExported)})
		}
	}
	return found
}

func exported(decl ast.Decl) int {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil && decl.Name.IsExported() {
			return 1
		}
	case *ast.GenDecl:
		count := 0
		for _, name := range declared(decl) {
			if name.IsExported() {
				count++
			}
		}
		return count
	}
	return 0
}

// declared is the names of types, constants and variables that a declaration introduces.
func declared(decl *ast.GenDecl) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			names = append(names, spec.Name)
		case *ast.ValueSpec:
			names = append(names, spec.Names...)
		}
	}
	return names
}

func initFunctions(h *tree) []offence {
	var found []offence
	for _, s := range h.product(true) {
		for _, decl := range s.syntax.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
				found = append(found, h.at(function, "init function: make it a constructor that somebody calls"))
			}
		}
	}
	return found
}
