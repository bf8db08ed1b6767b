package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// predLiterals and predValues meet in every operator: every kind of value,
// spellings of one number, numbers as text, and the limits of numbers.
var (
	predLiterals = []string{"1", "1.0", "2", "-1", "0", "-0", "1.5", "1e1", "0.1", "12345678901234567890123456789012345",
		"9007199254740993", "'1'", "'1.0'", "'x'", "''", "'true'", "true", "false", "null"}
	predValues = []string{"1", "1.0", "10e-1", "2", "-1", "-0", "0", "1.50", "10", "1e1", "0.1", "0.10", "12345678901234567890123456789012345",
		"12345678901234567890123456789012346", "9007199254740992", "9007199254740993", "1e2000", "-1e2000", "1e-2000", `"1"`, `"1.0"`, `" 1"`, `"x"`,
		`"\u0078"`, `""`, `"true"`, "true", "false", "null", "[]", "[1]", "{}", `{"a":1}`}
)

// TestPredsAgainstExpressions compares conditions as Preds with the same as
// compiled expressions, and what a Scan says with both.
func TestPredsAgainstExpressions(t *testing.T) {
	var conditions []string
	for _, op := range []string{"=", "<>", "<", "<=", ">", ">="} {
		for _, lit := range predLiterals {
			conditions = append(conditions, "a "+op+" "+lit, lit+" "+op+" a", "o.a "+op+" "+lit)
		}
	}
	for i := range predLiterals {
		list := predLiterals[i:min(i+3, len(predLiterals))]
		text := list[0]
		for _, l := range list[1:] {
			text += ", " + l
		}
		conditions = append(conditions, "a IN ["+text+"]", "a NOT IN ["+text+"]")
	}
	conditions = append(conditions, "a IN []", "a NOT IN []")
	payloads := []string{"", `{"z":0}`}
	for i, v := range predValues {
		other := predValues[(i*7+3)%len(predValues)]
		payloads = append(payloads,
			fmt.Sprintf(`{"z":0,"a":%s,"o":{"a":%s}}`, v, v),
			fmt.Sprintf(`{"a":%s,"o":{"a":%s},"a":%s,"o":{"a":%s}}`, other, other, v, v), // the last counts
			fmt.Sprintf(`{"a":%s,"o":{"a":%s},"\u0061":%s,"o":{"\u0061":%s}}`, other, other, v, v),
			fmt.Sprintf(`{"a":%s,"o":{"a":%s},"z":["a"]}}`, v, v), // not JSON
			fmt.Sprintf(`{"a":%s,"o":{"a":%s},"z":["a"],"o":1}`, v, v))
	}
	preds := 0
	var scan Scan
	for _, cond := range conditions {
		st, err := CompileStatement("SELECT 1 AS x FROM 't' WHERE "+cond, nil)
		if err != nil {
			t.Fatal(err)
		}
		preds += len(st.Preds())
		node, err := ParseExpr(cond, nil)
		if err != nil {
			t.Fatal(err)
		}
		expr, err := CompileExpr(node, cond, nil)
		if err != nil {
			t.Fatal(err)
		}
		paths, slots := (*Paths)(nil).With(st)
		for _, payload := range payloads {
			in := &Input{Payload: []byte(payload)}
			want, err := expr.True(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			if _, got, _ := st.Eval(context.Background(), in); got != want {
				t.Errorf("%s on %s: statement %t, expression %t", cond, payload, got, want)
			}
			scan.Read(paths, in.Payload)
			for i := range st.Preds() {
				p := &st.Preds()[i]
				slot := int(slots[p.Slot])
				n, ok := scan.Number(slot)
				if got := p.Holds(scan.Value(slot), n, ok); got != want {
					t.Errorf("%s on %s: pred %t, expression %t", cond, payload, got, want)
				}
				if p.Op != Equal && p.Op != In {
					continue
				}
				// The key of a value is among those of the Pred exactly if it holds.
				key, found := string(scan.Value(slot).AppendKey(nil)), false
				p.Keys(func(k string) { found = found || k == key })
				if found != want {
					t.Errorf("%s on %s: key %q found %t, expression %t", cond, payload, key, found, want)
				}
			}
		}
	}
	if preds < len(conditions)*2/3 {
		t.Errorf("only %d of %d conditions are Preds", preds, len(conditions))
	}
}

// TestPredsStopAtFailures: what may fail is not passed over, so conditions
// behind it are no Preds, nor are those of a statement with a SET clause.
func TestPredsStopAtFailures(t *testing.T) {
	for text, want := range map[string]int{
		"SELECT a FROM 't' WHERE a = 1 AND b.c > 2 AND 3 >= d":       3,
		"SELECT a FROM 't' WHERE a = 1 AND upper(b) = 'X' AND c = 1": 1,
		"SELECT a FROM 't' WHERE upper(b) = 'X' AND c = 1":           0,
		"SELECT a FROM 't' WHERE a = 1 OR c = 1":                     0,
		"SELECT a FROM 't' WHERE a = b":                              0,
		"SELECT a FROM 't' WHERE a > 'x'":                            0,
		"SELECT a FROM 't' WHERE a IN [1, 'x', NULL, -2]":            1,
		"SELECT a FROM 't' WHERE a IN [1, b]":                        0,
		"SELECT a FROM 't' WHERE a IN b":                             0,
		"SELECT a FROM 't' WHERE a NOT IN [[1]]":                     0,
		"SELECT a FROM 't' WHERE 1 IN [1]":                           0,
		"SELECT a FROM 't' WHERE -b = 1":                             0,
		"SELECT a FROM 't' WHERE a = - 1 AND b = -c":                 1,
		"SELECT a FROM 't' WHERE a + b":                              0,
		"SELECT a FROM 't' WHERE (a = 1 AND b = 2) AND (c = 3)":      3,
		"SET @x = 1 SELECT a FROM 't' WHERE a = 1":                   0,
		"SELECT a FROM 't'":                                          0,
	} {
		st, err := CompileStatement(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(st.Preds()); got != want {
			t.Errorf("%s: %d Preds, want %d", text, got, want)
		}
	}
}

// TestPredLists: how many values a Pred lists, and their keys, each once.
func TestPredLists(t *testing.T) {
	for cond, want := range map[string][2]int{"a = 1": {1, 1}, "a IN [1, 2, 3]": {3, 3}, "a IN [1, 1.0, 'x', NULL, NULL]": {5, 3}, "a IN []": {0, 0}} {
		st, err := CompileStatement("SELECT a FROM 't' WHERE "+cond, nil)
		if err != nil || len(st.Preds()) != 1 {
			t.Fatal(cond, err)
		}
		p := &st.Preds()[0]
		keys := map[string]int{}
		p.Keys(func(k string) {
			if keys[k]++; keys[k] > 1 {
				t.Errorf("%s: key %q twice", cond, k)
			}
		})
		if got := [2]int{p.Alternatives(), len(keys)}; got != want {
			t.Errorf("%s: %v alternatives and keys, want %v", cond, got, want)
		}
	}
}

// TestSteady: what may answer differently each time is told from what may not.
func TestSteady(t *testing.T) {
	opts := &Options{Functions: append(answers(), Function{Name: "mine", Call: func(context.Context, []Value) (Value, error) { return Value{}, nil }})}
	for sql, want := range map[string]bool{"SELECT a, timestamp(), topic()": true, "SELECT a WHERE a = 1 AND upper(b) = 'B'": true, "SELECT newuuid()": false, "SELECT rand()": false, "SELECT abs(rand())": false,
		"SELECT mine(1)": false, "SELECT a WHERE mine(a)": false, "SELECT get_thing_shadow('t', 'r')": false, "SELECT decode(a, 'proto', 'b', 'k', 'f', 'm')": false, "SELECT decode(a, 'base64')": true,
		"SET @a = 1 SELECT a": true, "SET @a = 1 SELECT a WHERE b = 1": false, "SET @a = newuuid() SELECT a": false} {
		st, err := CompileStatement(sql, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Steady(); got != want {
			t.Errorf("%s: steady %v", sql, got)
		}
	}
}

// TestBodies: statements share a body exactly if they differ in nothing but
// filter and the literals of Preds, and then make the same as before.
func TestBodies(t *testing.T) {
	compile := func(text, version string) *Statement {
		st, err := CompileStatement(text, &Options{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	base := compile("SELECT a, b FROM 't' WHERE a > 1 AND n.b = 'x'", "")
	same := compile("select a , b from 'u/#' where a <= 7 and n.b in ['y', 'z']", "")
	if same.Share(base).body != base.body {
		t.Error("statements of one shape do not share")
	}
	for _, payload := range []string{`{"a":3,"n":{"b":"z"}}`, `{"a":9,"n":{"b":"z"}}`, `{"a":3,"n":{"b":"x"}}`} {
		in := &Input{Payload: []byte(payload)}
		out1, ok1, _ := same.Eval(context.Background(), in)
		out2, ok2, _ := same.Share(base).Eval(context.Background(), in)
		if ok1 != ok2 || string(out1) != string(out2) {
			t.Errorf("%s: %t %s before, %t %s after sharing", payload, ok1, out1, ok2, out2)
		}
	}
	for _, other := range []*Statement{
		compile("SELECT a, b FROM 't' WHERE a > 1 AND n.c = 'x'", ""),
		compile("SELECT a FROM 't' WHERE a > 1 AND n.b = 'x'", ""),
		compile("SELECT a, b FROM 't' WHERE a > 1 AND n.b = 'x' AND upper(c) = 'C'", ""),
		compile("SELECT a, b FROM 't' WHERE a > 1 AND n.b = 'x'", Version2015),
		compile("SELECT a, 'b' FROM 't' WHERE a > 1 AND n.b = 'x'", ""),
	} {
		if other.Share(base).body == base.body {
			t.Errorf("%q shares with %q", other.Body(), base.Body())
		}
	}
}

// TestManyPaths: a statement with more paths than are compared one by one, of
// the payload and of an element, evaluated alone and with a Scan.
func TestManyPaths(t *testing.T) {
	var items, members, want []string
	for i := range 3 * fewKids {
		items = append(items, fmt.Sprintf("k%d.x AS a%d", i, i))
		members = append(members, fmt.Sprintf(`"k%d":{"x":%d}`, i, i))
		want = append(want, fmt.Sprintf(`"a%d":%d`, i, i))
	}
	list := strings.Join(items, ", ")
	object := "{" + strings.Join(members, ",") + "}"
	st, err := CompileStatement("SELECT "+list+", (SELECT "+list+" FROM l) AS l FROM 't'", nil)
	if err != nil {
		t.Fatal(err)
	}
	in := &Input{Payload: []byte(strings.TrimSuffix(object, "}") + `,"l":[` + object + `,{},` + object + "]}")}
	row := "{" + strings.Join(want, ",") + "}"
	// The members of an element come first, then those of the payload around it.
	out := strings.TrimSuffix(row, "}") + `,"l":[` + row + "," + row + "," + row + "]}"
	if got, _, err := st.Eval(context.Background(), in); err != nil || string(got) != out {
		t.Errorf("alone: %s, %v\nwant %s", got, err, out)
	}
	paths, slots := (*Paths)(nil).With(st)
	var scan Scan
	scan.Read(paths, in.Payload)
	if r, err := (&Evaluation{Input: *in}).Run(context.Background(), st, &RunOptions{Scan: &scan, Slots: slots}); err != nil || string(r.Out) != out {
		t.Errorf("with a Scan: %s, %v\nwant %s", r.Out, err, out)
	}
	if n := len(scan.Found()); n != 2*3*fewKids+1 {
		t.Errorf("%d values found", n)
	}
}

// TestPathsKeepOldVersions edits a tree of paths and looks up in old and new.
func TestPathsKeepOldVersions(t *testing.T) {
	var all []*Statement
	for i := range 40 { // more children than are compared one by one
		st, err := CompileStatement(fmt.Sprintf("SELECT k%d.x AS x, k%d AS y, common.z AS z FROM 't'", i, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, st)
	}
	type version struct {
		paths *Paths
		slots map[int][]int32
	}
	var paths *Paths
	slots := map[int][]int32{}
	var versions []version
	keep := func() {
		v := version{paths, map[int][]int32{}}
		for i, s := range slots {
			v.slots[i] = s
		}
		versions = append(versions, v)
	}
	for i, st := range all {
		paths, slots[i] = paths.With(st)
		keep()
	}
	for i := 0; i < len(all); i += 2 {
		paths = paths.Without(all[i])
		delete(slots, i)
		keep()
	}
	most := paths.Len()
	for i := 0; i < len(all); i += 2 {
		paths, slots[i] = paths.With(all[i])
		keep()
	}
	if paths.Len() != most {
		t.Errorf("%d slots after paths came back, %d before: slots are not used again", paths.Len(), most)
	}
	payload := `{"common":{"z":"c"}`
	for i := range all {
		payload += fmt.Sprintf(`,"k%d":{"x":%d}`, i, i)
	}
	payload += "}"
	var scan Scan
	for n, v := range versions {
		scan.Read(v.paths, []byte(payload))
		for i, s := range v.slots {
			in := &Input{Payload: []byte(payload)}
			want, _, _ := all[i].Eval(context.Background(), in)
			r, err := (&Evaluation{Input: *in}).Run(context.Background(), all[i], &RunOptions{Scan: &scan, Slots: s})
			if err != nil || string(r.Out) != string(want) {
				t.Fatalf("version %d, statement %d: %s, want %s (%v)", n, i, r.Out, want, err)
			}
		}
	}
	for i := range all {
		paths = paths.Without(all[i])
	}
	if !paths.root.leaf() {
		t.Error("a tree without its paths has some")
	}
}
