package rules

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAWSProfile(t *testing.T) {
	actions := func(n int) []ActionSpec { return make([]ActionSpec, n) }
	named := func(n int) []ActionSpec {
		all := actions(n)
		for i := range all {
			all[i].Type = "x"
		}
		return all
	}
	e, err := Open(t.Context(), NewMemStore(), noActions{t}, AWSProfile())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	put := func(r Rule) error { return e.Put(t.Context(), r) }
	if err := put(Rule{Name: "ten", SQL: "SELECT a FROM 'x'", Actions: named(10)}); err != nil {
		t.Error(err)
	}
	var re *RuleError
	if err := put(Rule{Name: "eleven", SQL: "SELECT a FROM 'x'", Actions: named(11)}); !errors.As(err, &re) || re.Field != "actions" {
		t.Errorf("eleven actions: %v", err)
	}
	if err := put(Rule{Name: "long", SQL: "SELECT '" + strings.Repeat("x", 128<<10) + "' AS a FROM 'x'"}); !errors.As(err, &re) {
		t.Errorf("a rule of more than 128 KiB: %v", err)
	}
	var se *SyntaxError
	if err := put(Rule{Name: "literal", SQL: "SELECT [1] AS a FROM 'x'"}); !errors.As(err, &se) {
		t.Errorf("a literal without a version: %v", err)
	}
	if err := put(Rule{Name: "literal", SQL: "SELECT [1] AS a FROM 'x'", SQLVersion: Version2016}); err != nil {
		t.Error(err)
	}
	for i := range 998 {
		if err := put(Rule{Name: fmt.Sprintf("r%d", i), SQL: "SELECT a FROM 'x'"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(Rule{Name: "last", SQL: "SELECT a FROM 'x'"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("rule 1001: %v", err)
	}
	if a, b := AWSProfile(), AWSProfile(); a == b || a.Compile == b.Compile {
		t.Error("profiles share memory")
	}
}
