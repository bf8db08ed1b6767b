package thingloom

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/thingloom/thingloom"

// direct is the whole list of the module's direct requirements. Adding to it
// is a decision to be seen in review, not a side effect of an import.
var direct = []string{
	"github.com/cockroachdb/pebble/v2",
	"github.com/coder/websocket",
	"github.com/eclipse/paho.golang",
	"github.com/tidwall/gjson",
	"golang.org/x/sync",
}

// arrows is the table of docs/architecture.md: the first row whose pattern
// matches a package's folder says what it may import besides the standard
// library. $1 stands for the pattern's group. Entries are prefixes of import
// paths; those of the module are written without it, and end in "!" where
// only that very package is meant.
var arrows = []struct{ pattern, may string }{
	{`^internal/.*`, "internal/ github.com/tidwall/gjson"},
	{`^broker/internal/.*`, "broker/internal/ internal/"},
	{`^(broker)$`, "internal/ broker/internal/ github.com/tidwall/gjson golang.org/x/sync"},
	{`^(shadow|rules|registry|actions|telemetry)$`, "internal/ github.com/tidwall/gjson golang.org/x/sync"},
	{`^(\w+)/\w+pebble$`, "$1! internal/ github.com/cockroachdb/pebble/v2"},
	{`^(broker)/brokernet$`, ""},
	{`^(\w+)/\w+ws$`, "$1! internal/ github.com/coder/websocket"},
	{`^broker/brokerbridge$`, "broker! internal/ github.com/eclipse/paho.golang"}, // its name says what it is; how it speaks is MQTT
	{`^(\w+)/(\w+paho|shadowdevice)$`, "$1! internal/ github.com/eclipse/paho.golang"},
	{`^actions/(\w+)/\w+pebble$`, "actions! actions/$1! internal/ github.com/cockroachdb/pebble/v2"},
	{`^actions/\w+$`, "actions! internal/ github.com/tidwall/gjson golang.org/x/sync"},
	{`^(\w+)/\w+(http|mqtt|test)$`, "$1! internal/ github.com/tidwall/gjson"},
	{`^registry/fleetindex/fleetindexhttp$`, "registry! registry/fleet! registry/fleetindex! internal/"},
	{`^registry/(\w+)/\w+(http|mqtt|test)$`, "registry! registry/$1! internal/ github.com/tidwall/gjson"},
	{`^registry/dynamicgroup$`, "registry! registry/fleet! registry/fleetindex! internal/"}, // membership is what the index finds
	{`^registry/fleetindex$`, "registry! registry/fleet! internal/ github.com/tidwall/gjson"},
	{`^(registry)/\w+$`, "$1! internal/ github.com/tidwall/gjson golang.org/x/sync"},
	{`^examples/.*`, "broker shadow rules registry actions telemetry internal/ github.com/ golang.org/x/sync"},
	{`^\.$`, ""},
}

// TestArrows holds the picture of docs/architecture.md against the code, so
// that it cannot rot.
func TestArrows(t *testing.T) {
	err := filepath.WalkDir(".", func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() {
			nested := file != "." && exists(filepath.Join(file, "go.mod"))
			if nested || name == "testdata" || name == "node_modules" || file != "." && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := path.Clean(filepath.ToSlash(filepath.Dir(file)))
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !allowed(folder, imported) {
				t.Errorf("%s imports %s, an arrow that is not in the table", file, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func allowed(folder, imported string) bool {
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	for _, row := range arrows {
		m := regexp.MustCompile(row.pattern).FindStringSubmatchIndex(folder)
		if m == nil {
			continue
		}
		may := string(regexp.MustCompile(row.pattern).ExpandString(nil, row.may, folder, m))
		for _, prefix := range strings.Fields(may) {
			exact := strings.HasSuffix(prefix, "!")
			prefix = strings.TrimSuffix(prefix, "!")
			if !strings.Contains(strings.SplitN(prefix, "/", 2)[0], ".") {
				prefix = module + "/" + prefix
			}
			if imported == prefix || !exact && strings.HasPrefix(imported, prefix) {
				return true
			}
		}
		return false
	}
	return false
}

// TestDirectRequirements fails when go.mod gains a direct requirement that is
// not on the list, or keeps one that left it.
func TestDirectRequirements(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(words) == 2 && strings.HasPrefix(words[1], "v") {
			got = append(got, words[0])
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, direct) {
		t.Errorf("direct requirements\n got %q\nwant %q", got, direct)
	}
}

// TestReadmeCode holds the Go snippets of README.md against the examples: the
// README shows no code that is not tested.
func TestReadmeCode(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	tested := words(string(examples))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 6 {
		t.Errorf("%d snippets, want one for each package", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(tested, words(block[1])) {
			t.Errorf("README.md shows code that is no tested example:\n%s", block[1])
		}
	}
}
