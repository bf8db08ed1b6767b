package broker

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// statements is how many normative statements each section of MQTT 5.0 has, as its appendix B numbers them.
var statements = map[string][2]int{ // first and last
	"1.5.4": {1, 3}, "1.5.5": {1, 1}, "1.5.7": {1, 1}, "2.1.3": {1, 1}, "2.2.1": {2, 6}, "2.2.2": {1, 1},
	"3.1.0": {1, 2}, "3.1.2": {1, 30}, "3.1.3": {1, 12}, "3.1.4": {1, 6}, "3.2.0": {1, 2}, "3.2.2": {1, 22},
	"3.3.1": {1, 13}, "3.3.2": {1, 20}, "3.3.4": {1, 10}, "3.4.2": {1, 3}, "3.5.2": {1, 3}, "3.6.1": {1, 1}, "3.6.2": {1, 3}, "3.7.2": {1, 3},
	"3.8.1": {1, 1}, "3.8.3": {1, 5}, "3.8.4": {1, 8}, "3.9.2": {1, 2}, "3.9.3": {1, 2}, "3.10.1": {1, 1}, "3.10.3": {1, 2}, "3.10.4": {1, 6},
	"3.11.2": {1, 2}, "3.11.3": {1, 2}, "3.12.4": {1, 1}, "3.14.0": {1, 1}, "3.14.1": {1, 1}, "3.14.2": {1, 4}, "3.14.4": {1, 3},
	"3.15.1": {1, 1}, "3.15.2": {1, 3}, "4.1.0": {1, 2}, "4.2.0": {1, 1}, "4.3.1": {1, 1}, "4.3.2": {1, 5}, "4.3.3": {1, 13},
	"4.4.0": {1, 2}, "4.5.0": {1, 2}, "4.6.0": {1, 6}, "4.7.0": {1, 1}, "4.7.1": {1, 2}, "4.7.2": {1, 1}, "4.7.3": {1, 4}, "4.8.2": {1, 6},
	"4.9.0": {1, 3}, "4.12.0": {1, 7}, "4.12.1": {1, 2}, "4.13.1": {1, 1}, "4.13.2": {1, 1}, "6.0.0": {1, 4},
}

// statements311 is the same for MQTT 3.1.1.
var statements311 = map[string][2]int{
	"1.5.3": {1, 3}, "2.2.2": {1, 2}, "2.3.1": {1, 7}, "3.1.0": {1, 2}, "3.1.2": {1, 24}, "3.1.3": {1, 11}, "3.1.4": {1, 5}, "3.2.0": {1, 1},
	"3.2.2": {1, 6}, "3.3.1": {1, 12}, "3.3.2": {1, 3}, "3.3.4": {1, 1}, "3.3.5": {1, 2}, "3.6.1": {1, 1}, "3.8.1": {1, 1}, "3.8.3": {1, 4},
	"3.8.4": {1, 6}, "3.9.3": {1, 2}, "3.10.1": {1, 1}, "3.10.3": {1, 2}, "3.10.4": {1, 6}, "3.12.4": {1, 1}, "3.14.1": {1, 1}, "3.14.4": {1, 3},
	"4.1.0": {1, 2}, "4.3.1": {1, 1}, "4.3.2": {1, 2}, "4.3.3": {1, 2}, "4.4.0": {1, 1}, "4.5.0": {1, 2}, "4.6.0": {1, 6}, "4.7.1": {1, 3},
	"4.7.2": {1, 1}, "4.7.3": {1, 4}, "4.8.0": {1, 2}, "6.0.0": {1, 4}, "7.0.0": {1, 2}, "7.1.1": {1, 1}, "7.1.2": {1, 1},
}

// covered checks that each of statements has its row in doc, which it returns.
func covered(t *testing.T, doc string, statements map[string][2]int) map[string]bool {
	t.Helper()
	instead := map[string]bool{"*client*": true, "*never sent*": true, "*one copy is sent*": true, "*always available*": true}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (MQTT-[\d.]+-\d+) \| [^|]+ \| ([^|]+) \|$`).FindAllStringSubmatch(doc, -1) {
		if rows[m[1]] {
			t.Errorf("%s stands twice", m[1])
		}
		rows[m[1]] = true
		if !strings.HasPrefix(m[2], "`Test") && !instead[m[2]] {
			t.Errorf("%s: %q is neither a test nor a reason", m[1], m[2])
		}
	}
	for section, numbers := range statements {
		for n := numbers[0]; n <= numbers[1]; n++ {
			if id := "MQTT-" + section + "-" + strconv.Itoa(n); !rows[id] {
				t.Errorf("%s is missing", id)
			}
		}
	}
	return rows
}

// TestConformanceDocument keeps docs/mqtt-conformance.md true.
func TestConformanceDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/mqtt-conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, differences, ok := strings.Cut(string(text), "## What 3.1.1 has differently")
	if !ok {
		t.Fatal("no section about 3.1.1")
	}
	exists := map[string]bool{}
	sources := ""
	for _, dir := range []string{".", "../internal/topic", "../internal/clienttest"} {
		err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(file, ".go") {
				return err
			}
			source, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(file, "_test.go") {
				sources += string(source)
				return nil
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(string(source), -1) {
				exists[m[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(text), -1) {
		if !exists[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	five, older := covered(t, doc, statements), covered(t, differences, statements311)
	for _, m := range regexp.MustCompile(`\[(MQTT-[\d.]+-\d+)\]`).FindAllStringSubmatch(sources, -1) {
		if !five[m[1]] && !older[m[1]] {
			t.Errorf("the code cites %s, which is not in the document", m[1])
		}
	}
}
