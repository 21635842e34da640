package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// comments maps Type and Type.Field to what their comments say, as one line of text.
type comments map[string]string

func readComments(dir string) (comments, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("read %s: %w", dir, fs.ErrNotExist)
	}
	found := comments{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if types, ok := decl.(*ast.GenDecl); ok && types.Tok == token.TYPE {
				found.declaration(types)
			}
		}
	}
	return found, nil
}

func (c comments) declaration(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		named := spec.(*ast.TypeSpec)
		c[named.Name.Name] = oneLine(decl.Doc)
		body, ok := named.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, field := range body.Fields.List {
			for _, name := range field.Names {
				c[named.Name.Name+"."+name.Name] = oneLine(field.Doc)
			}
		}
	}
}

func oneLine(doc *ast.CommentGroup) string {
	return strings.Join(strings.Fields(doc.Text()), " ")
}

// of gives the text of a key. A key without one is an error: the manual would have a hole.
func (c comments) of(f strict.Field) (string, error) {
	name := f.Owner.Name() + "." + f.Go
	if c[name] == "" {
		return "", fmt.Errorf("field %s has no comment", name)
	}
	return c[name], nil
}

// section gives the text of a struct, from which the leading "Name is" or "Name says" is not removed: it reads well.
func (c comments) section(t reflect.Type) string { return c[t.Name()] }
