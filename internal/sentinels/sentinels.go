// Package sentinels finds the exported errors of a package in its source, so
// that a test can hold a table of errors against all of them.
package sentinels

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Check calls fn with each exported error variable of the package in a folder,
// by what it is in known, and fails the test of one that known has not, or of
// one in known that the package has no more.
func Check(t testing.TB, folder string, known map[string]error, fn func(name string, err error)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(known)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range exported(file) {
			if known[name] == nil {
				t.Errorf("%s of %s is not in the test", name, folder)
				continue
			}
			delete(left, name)
			fn(name, known[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		t.Errorf("%s is none of %s", name, folder)
	}
}

// exported are the names of the exported errors of a file.
func exported(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			for _, id := range spec.(*ast.ValueSpec).Names {
				if strings.HasPrefix(id.Name, "Err") {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}
