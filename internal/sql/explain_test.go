package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestExplainAgainstRun: on random statements Explain comes to what Run comes
// to, asks the outside in the same order, and its steps are of this evaluation:
// every value is that of its expression, evaluated alone.
func TestExplainAgainstRun(t *testing.T) {
	var asked []string
	ask := Function{Name: "ask", Call: func(_ context.Context, args []Value) (Value, error) {
		asked = append(asked, string(args[0].JSON()))
		if args[0].kind == Null {
			return Value{}, errors.New("down")
		}
		return args[0], nil
	}}
	opts := &Options{Functions: []Function{ask}}
	skipped, failed := 0, 0
	for seed := range uint64(1500) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 11)), ask: true}
		text := g.statement()
		st, err := CompileStatement(text, opts)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for range 2 {
			in := &Input{Payload: []byte(g.payload()), Topic: "a/b/c", Time: time.UnixMilli(1700000000123)}
			asked = nil
			want, wantErr := (&Evaluation{Input: *in}).Run(t.Context(), st, &RunOptions{Variables: true})
			byRun := strings.Join(asked, " ")
			asked = nil
			got, err := Explain(t.Context(), text, opts, in)
			if fmt.Sprint(err) != fmt.Sprint(wantErr) || string(got.Result.Out) != string(want.Out) || got.Result.Matched != want.Matched {
				t.Fatalf("%s on %s: Explain %v %s %v, Run %v %s %v", text, in.Payload, got.Result.Matched, got.Result.Out, err, want.Matched, want.Out, wantErr)
			}
			if s := strings.Join(asked, " "); s != byRun {
				t.Fatalf("%s on %s: Explain asks %s, Run %s", text, in.Payload, s, byRun)
			}
			if fmt.Sprint(got.Variables) != fmt.Sprint(want.Variables) {
				t.Fatalf("%s on %s: Explain sets %v, Run %v", text, in.Payload, got.Variables, want.Variables)
			}
			if err != nil {
				failed++
				continue
			}
			where := ""
			for _, s := range got.Steps {
				if s.Times == 0 {
					skipped++
					if s.Clause != "WHERE" || s.Value.kind != Undefined || s.Why != "" {
						t.Fatalf("%s: skipped step %+v", text, s)
					}
				}
				if s.Clause == "WHERE" && s.Depth == 0 {
					where = string(s.Value.JSON())
				}
				if (s.Why == "") != (s.Value.kind != Undefined) && s.Times > 0 {
					t.Fatalf("%s: step %s is %s, because %q", text, Print(s.Node), s.Value.JSON(), s.Why)
				}
				if Start(s.Node) < 0 || Start(s.Node) >= len(text) {
					t.Fatalf("%s: step at %d", text, Start(s.Node))
				}
			}
			if w := got.Where; w != nil && string(w.Value.JSON()) != where {
				t.Fatalf("%s: WHERE is %s and %s", text, w.Value.JSON(), where)
			}
		}
	}
	if skipped < 50 || failed < 10 {
		t.Errorf("only %d steps were skipped, %d evaluations failed", skipped, failed)
	}
}

// TestLintIsCertain: a condition that Lint says is never true never is, nor is
// an arm taken that it says is never taken.
func TestLintIsCertain(t *testing.T) {
	found := 0
	for seed := range uint64(6000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 13))}
		cond := g.condition(2)
		text := "SELECT * FROM 'a' WHERE " + cond
		all, err := Lint(text, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		sel, _ := ParseStatement(text, nil)
		never := false
		for _, f := range all {
			if f.Offset < 0 || f.Offset >= len(text) {
				t.Fatalf("%s: %+v", text, f)
			}
			for _, c := range conjuncts(sel.Where, nil) {
				never = never || f.Kind == NeverTrue && (strings.HasPrefix(f.Msg, Print(c)+" is never true") || strings.HasSuffix(f.Msg, Print(c)+" are never true together"))
			}
		}
		if !never {
			continue
		}
		found++
		st, err := CompileStatement(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			in := &Input{Payload: []byte(g.payload()), Topic: "a/b/c"}
			if _, matched, _ := st.Eval(t.Context(), in); matched {
				t.Fatalf("%s matches %s; Lint: %v", text, in.Payload, all)
			}
		}
	}
	if found < 500 {
		t.Errorf("only %d findings", found)
	}
}
