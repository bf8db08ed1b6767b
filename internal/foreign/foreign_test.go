package foreign_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// recorder is a testing.TB that notes how it was ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs f with a recorder, on a goroutine that may be ended.
func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestMissing(t *testing.T) {
	needs := map[string]func(testing.TB){
		"program":       func(t testing.TB) { foreign.Need(t, "no-such-program") },
		"Python module": func(t testing.TB) { foreign.NeedPython(t, "no_such_module") },
	}
	for name, need := range needs {
		t.Run(name, func(t *testing.T) {
			t.Setenv(foreign.RequireEnv, "")
			r := record(t, need)
			if !strings.HasPrefix(r.skipped, foreign.Missing) || r.failed != "" {
				t.Errorf("skipped %q, failed %q; want a skip that begins with %q", r.skipped, r.failed, foreign.Missing)
			}
			t.Setenv(foreign.RequireEnv, "1")
			r = record(t, need)
			if r.skipped != "" || !strings.Contains(r.failed, foreign.Missing) {
				t.Errorf("with %s=1: skipped %q, failed %q; want a failure", foreign.RequireEnv, r.skipped, r.failed)
			}
		})
	}
}

func TestNeedFinds(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "node"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got, want := foreign.Need(t, "node"), filepath.Join(dir, "node"); got != want {
		t.Errorf("Need gave %q, want %q", got, want)
	}
	pkg := filepath.Join(dir, "node_modules", "@a", "b")
	if err := os.MkdirAll(pkg, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(foreign.NPMEnv, dir)
	t.Setenv(foreign.RequireEnv, "")
	if r := record(t, func(t testing.TB) { foreign.NeedNPM(t, "@a/b") }); r.skipped == "" {
		t.Error("a package without package.json was found")
	}
	if err := os.WriteFile(filepath.Join(pkg, "package.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := foreign.NeedNPM(t, "@a/b"); got != dir {
		t.Errorf("NeedNPM gave %q, want %q", got, dir)
	}
}
