// Package vectors runs the conformance vectors of this project in tests.
//
// A folder of vectors has the subfolders rules, shadow, policy and index, each
// with *.json files that hold one JSON array of vectors. The environment
// variable THINGLOOM_VECTORS names the folder; unset, the project's own copy
// below testdata/conformance is used, so that other folders can be run
// through the same tests without a change.
package vectors

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Env is the environment variable that names the folder of vectors.
const Env = "THINGLOOM_VECTORS"

// A Vector is one entry of a vector file, its JSON text untouched.
type Vector struct {
	File string // base name without .json
	Name string // the member "name"
	Raw  json.RawMessage
}

// ID names the vector within its subfolder, as lists of known failures do.
func (v Vector) ID() string { return v.File + "/" + v.Name }

// Run runs check for every vector of the subfolder sub, one subtest a vector,
// and prints a closing line "vectors: N run, N passed, N known (sub)".
//
// known lists the IDs of vectors that do not pass yet. It counts for the
// project's own copy only, and may only shrink: a listed vector that passes,
// and a listed ID that no file has, fail the test. A folder without the
// subfolder skips the test; a subfolder without a vector fails it.
func Run(t *testing.T, sub string, known []string, check func(Vector) error) {
	t.Helper()
	dir, own := folder(t)
	all, err := load(filepath.Join(dir, sub))
	if err != nil {
		if os.IsNotExist(err) && !own {
			t.Skipf("no folder %s in %s", sub, dir)
		}
		t.Fatal(err)
	}
	if !own {
		known = nil
	}
	run(t, sub, all, known, check)
}

// RunMore runs check for every vector of the files in dir, a package's own
// vectors in the same format.
func RunMore(t *testing.T, dir string, check func(Vector) error) {
	t.Helper()
	all, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, all, nil, check)
}

func run(t *testing.T, sub string, all []Vector, known []string, check func(Vector) error) {
	t.Helper()
	if len(all) == 0 {
		t.Fatalf("no vector in %s", sub)
	}
	var ran, passed, expected int
	seen := map[string]bool{}
	for _, v := range all {
		seen[v.ID()] = true
		t.Run(v.ID(), func(t *testing.T) {
			ran++
			err := check(v)
			listed := slices.Contains(known, v.ID())
			switch {
			case err == nil && listed:
				passed++
				t.Errorf("passes, but is listed as a known failure: take it off the list")
			case err == nil:
				passed++
			case listed:
				expected++
				t.Skipf("known failure: %v", err)
			default:
				t.Errorf("%v\nvector: %s", err, v.Raw)
			}
		})
	}
	for _, id := range known {
		if !seen[id] {
			t.Errorf("known failure %q is in no file", id)
		}
	}
	fmt.Printf("vectors: %d run, %d passed, %d known (%s)\n", ran, passed, expected, sub)
}

// folder is the folder of vectors, and whether it is the project's own.
func folder(t *testing.T) (dir string, own bool) {
	t.Helper()
	if dir := os.Getenv(Env); dir != "" {
		return dir, false
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "testdata", "conformance")); err == nil {
			return filepath.Join(root, "testdata", "conformance"), true
		}
		up := filepath.Dir(root)
		if up == root {
			t.Fatalf("no testdata/conformance above the test's folder, and %s is not set", Env)
		}
		root = up
	}
}

func load(dir string) ([]Vector, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Vector
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		var raws []json.RawMessage
		if err := json.Unmarshal(text, &raws); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		for i, raw := range raws {
			var head struct{ Name string }
			if err := json.Unmarshal(raw, &head); err != nil {
				return nil, fmt.Errorf("%s: vector %d: %w", e.Name(), i, err)
			}
			all = append(all, Vector{File: base, Name: head.Name, Raw: raw})
		}
	}
	return all, nil
}
