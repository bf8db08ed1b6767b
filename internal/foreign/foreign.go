// Package foreign finds the programs of others that tests drive: the mosquitto
// clients, node, Chromium. A test that needs one says so first:
//
//	pub := foreign.Need(t, "mosquitto_pub")
//
// and is skipped where the program is missing, with a line that begins with
// [Missing] and can be searched for in the output of go test -v. With the
// environment variable [RequireEnv] set to 1 the test fails instead, so that a
// run which installed everything cannot pass by skipping.
package foreign

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RequireEnv is the environment variable that, set to 1, turns every skip of
// this package into a failure.
const RequireEnv = "THINGLOOM_REQUIRE_FOREIGN"

// NPMEnv is the environment variable that names the folder with a node_modules
// folder in which [NeedNPM] looks.
const NPMEnv = "THINGLOOM_NPM"

// Missing begins the line of every skip of this package.
const Missing = "skipped: "

// Need returns the path of program, or skips t with the line
// "skipped: <program> not found".
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// NeedNPM returns the folder that holds node_modules with the package name in
// it, as the environment variable [NPMEnv] names it, or skips t. Run node in
// that folder, so that require finds the package.
func NeedNPM(t testing.TB, name string) (dir string) {
	t.Helper()
	Need(t, "node")
	dir = os.Getenv(NPMEnv)
	if dir == "" {
		missing(t, "npm package "+name+" in "+NPMEnv+", which is not set:")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(name), "package.json")); err != nil {
		missing(t, "npm package "+name)
	}
	return dir
}

// NeedPython returns the path of a Python 3 that can import module, or skips t.
// The distribution's interpreter is asked first, since it has the
// distribution's packages, then the one of the search path.
func NeedPython(t testing.TB, module string) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		path, err := exec.LookPath(python)
		if err != nil {
			continue
		}
		if exec.CommandContext(t.Context(), path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	missing(t, "Python module "+module)
	return ""
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%s%s not found, and %s=1", Missing, what, RequireEnv)
	}
	t.Skipf("%s%s not found", Missing, what)
}
