package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/vectors"
)

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		sql, topic, payload string
		want                string // String(), lines joined by |
	}{
		{`SELECT temperature AS t FROM 'sensors/+' WHERE temperature > 30 AND NOT muted`, "sensors/a", `{"temperature":31.5,"muted":false}`,
			`fired: WHERE is true|WHERE|      temperature = 31.5|    temperature > 30 = true|      muted = false|    NOT muted = true|` +
				`  temperature > 30 AND NOT muted = true|SELECT|  temperature = 31.5|output {"t":31.5}`},
		{`SELECT * FROM 'sensors/+' WHERE temperature > 30`, "sensors/a", `{"temperature":3}`,
			`filtered: WHERE is not true: temperature > 30 is false|WHERE|    temperature = 3|  temperature > 30 = false`},
		{`SELECT * FROM 'sensors/+' WHERE temprature > 30`, "sensors/a", `{"temperature":3}`,
			`filtered: WHERE is not true: temprature > 30 is Undefined, since temprature is Undefined: the payload has no such member|WHERE|` +
				`    temprature = Undefined: the payload has no such member|  temprature > 30 = Undefined: temprature is Undefined`},
		{`SELECT * FROM 'sensors/+' WHERE name > 30`, "sensors/a", `{"name":"x"}`,
			`filtered: WHERE is not true: name > 30 is Undefined, since name > 30 is Undefined: the String "x" and the number 30 are not both numbers: only numbers have an order|WHERE|` +
				`    name = "x"|  name > 30 = Undefined: the String "x" and the number 30 are not both numbers: only numbers have an order`},
		{`SELECT a FROM 'sensors/+' WHERE a = 1`, "sensors/a", `not JSON`,
			`filtered: WHERE is not true: a = 1 is Undefined, since a is Undefined: the payload is not a JSON object or array|WHERE|` +
				`    a = Undefined: the payload is not a JSON object or array|  a = 1 = Undefined: a is Undefined`},
		{`SELECT * FROM 'a' WHERE t > 30 AND s = 'x' AND n = 1`, "a", `{"t":3,"s":"x"}`,
			`filtered: WHERE is not true: t > 30 AND s = 'x' AND n = 1 is false|WHERE|        t = 3|      t > 30 = false|      s = 'x' is not evaluated|` +
				`    t > 30 AND s = 'x' = false|    n = 1 is not evaluated|  t > 30 AND s = 'x' AND n = 1 = false`},
		{`SELECT * FROM 'a' WHERE t AND s = 'x'`, "a", `{"t":3,"s":"x"}`,
			`filtered: WHERE is not true: t AND s = 'x' is Undefined, since t AND s = 'x' is Undefined: the Int 3 and s = 'x' are not both Booleans|WHERE|    t = 3|    s = 'x' is not evaluated|` +
				`  t AND s = 'x' = Undefined: the Int 3 and s = 'x' are not both Booleans`},
		{`SELECT * FROM 'a' WHERE NOT (t = 1 AND s = 'x')`, "a", `{"t":3,"s":"y"}`, // not at the top: both sides count
			`fired: WHERE is true|WHERE|        t = 3|      t = 1 = false|        s = "y"|      s = 'x' = false|    t = 1 AND s = 'x' = false|  NOT (t = 1 AND s = 'x') = true|output {"t":3,"s":"y"}`},
		{`SELECT get(o, 'k').a AS x FROM 'a'`, "a", `{"o":{}}`,
			`fired: there is no WHERE|SELECT|      o = {}|    get(o, 'k') = Undefined: get() has no value for the Object {}, the String "k"|  get(o, 'k').a = Undefined: get(o, 'k') is Undefined|output {}`},
		{`SELECT * FROM 'sensors/+'`, "other/a", `{}`, `other topic: the topic "other/a" does not match FROM 'sensors/+'`},
		{`SELECT 1`, "other/a", `{}`, `other topic: the statement has no FROM: it is reached by $aws/rules/<its name> alone`},
		{`SELECT 1 AS n`, "$aws/rules/r/x", `{}`, `fired: the topic names the rule r, and there is no WHERE|output {"n":1}`},
		{`SET @t = cast(t AS decimal), @u = upper(@t) SELECT @t / 0 AS x, floor('a') AS y, a.b AS z FROM 'a' WHERE EXISTS (SELECT * FROM l WHERE v > 1)`, "a",
			`{"t":"5","l":[{"v":1},{"v":2},{"v":3}],"a":{}}`,
			`fired: WHERE is true|SET @t|    t = "5"|  CAST(t AS decimal) = 5|SET @u|    @t = 5|  upper(@t) = "5"|WHERE|    l = [{"v":1},{"v":2},{"v":3}]|` +
				`      v = 1 (the first of 2)|    v > 1 = false (the first of 2)|  EXISTS (SELECT * FROM l WHERE v > 1) = true|` +
				`SELECT|    @t = 5|  @t / 0 = Undefined: the Int 5 cannot be divided by the number 0|  floor('a') = Undefined: floor() has no value for the String "a"|` +
				`  a.b = Undefined: the payload has no such member|output {}`},
		{`SELECT t AND TRUE AS a, principal() AS b, CASE t WHEN 1 THEN 2 ELSE missing END AS c FROM 'a'`, "a", `{"t":3}`,
			`fired: there is no WHERE|SELECT|    t = 3|  t AND TRUE = Undefined: the Int 3 and the Boolean true are not both Booleans|` +
				`  principal() = Undefined: principal() has no value for this message|    t = 3|    missing = Undefined: the payload has no such member|` +
				`  CASE t WHEN 1 THEN 2 ELSE missing END = Undefined: missing is Undefined|output {}`},
		{`SELECT t AND NULL AS a FROM 'a'`, "a", `{"t":3}`,
			`fired: there is no WHERE|SELECT|    t = 3|  t AND NULL = Undefined: the Int 3 and the Null null are not both Booleans|output {}`},
		{`SELECT floor(s) AS a, floor(u) AS b FROM 'a'`, "a", `{"s":"` + strings.Repeat("x", 38) + `","u":"` + strings.Repeat("x", 39) + `"}`,
			`fired: there is no WHERE|SELECT|    s = "` + strings.Repeat("x", 38) + `"|  floor(s) = Undefined: floor() has no value for the String "` + strings.Repeat("x", 38) + `"|` +
				`    u = "` + strings.Repeat("x", 39) + `"|  floor(u) = Undefined: floor() has no value for the String "` + strings.Repeat("x", 39) + `...|output {}`},
		{`SELECT CASE t WHEN 1 THEN 'a' END AS x, t IN 5 AS y, -s AS z, [1].k AS w FROM 'a'`, "a", `{"t":2,"s":"q"}`,
			`fired: there is no WHERE|SELECT|    t = 2|  CASE t WHEN 1 THEN 'a' END = Undefined: no WHEN is equal and there is no ELSE|    t = 2|` +
				`  t IN 5 = Undefined: the number 5 is not an Array|    s = "q"|  -s = Undefined: - cannot take the String "q"|    [1] = [1]|  [1].k = Undefined: it has no member of that name|output {}`},
	} {
		q, err := Compile(tt.sql, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		ex := q.Explain(t.Context(), &Message{Topic: tt.topic, Payload: []byte(tt.payload)})
		if got := strings.ReplaceAll(strings.TrimSpace(ex.String()), "\n", "|"); got != tt.want {
			t.Errorf("%s on %s\ngot  %s\nwant %s", tt.sql, tt.payload, got, tt.want)
		}
		for i, s := range ex.Steps {
			if (s.Why != "") != (s.Value == nil && !s.Skipped) || s.Skipped != (s.Times == 0) || s.Offset < 0 || s.Offset >= len(tt.sql) {
				t.Errorf("%s: step %d is %+v", tt.sql, i, s)
			}
		}
	}
}

func TestExplainFailure(t *testing.T) {
	down := errors.New("down")
	q, err := Compile(`SELECT aws_lambda('arn:aws:lambda:us-east-1:123456789012:function:f', t) AS x FROM 'a' WHERE t > 1`, &CompileOptions{Funcs: &Funcs{
		Lambda: func(context.Context, string, json.RawMessage) (json.RawMessage, error) { return nil, down }}})
	if err != nil {
		t.Fatal(err)
	}
	ex := q.Explain(t.Context(), &Message{Topic: "a", Payload: []byte(`{"t":2}`)})
	if ex.Outcome != Failed || !errors.Is(ex.Err, down) || len(ex.Steps) < 3 {
		t.Errorf("%+v", ex)
	}
}

// Explain asks the outside what Eval asks, in the same order, and no more.
func TestExplainAsksAsEval(t *testing.T) {
	var asked []string
	opts := &CompileOptions{Funcs: &Funcs{User: []Function{{Name: "ask", Fn: func(n int64, answer json.RawMessage) (json.RawMessage, error) {
		asked = append(asked, fmt.Sprint(n))
		if string(answer) == `"fail"` {
			return nil, errors.New("down")
		}
		return answer, nil
	}}}}}
	for _, tt := range []struct{ sql, want string }{
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE ask(1, FALSE) AND ask(2, TRUE)", "1"},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE ask(1, TRUE) AND ask(2, missing) AND ask(3, TRUE)", "1 2"},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE ask(1, TRUE) AND (ask(2, TRUE) AND ask(3, TRUE))", "1 2 3 9"},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE ask(1, FALSE) OR ask(2, TRUE)", "1 2 9"},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE NOT (ask(1, FALSE) AND ask(2, TRUE))", "1 2 9"},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE t = 2 AND ask(1, TRUE)", ""},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE ask(1, TRUE) AND t = 2 AND ask(2, TRUE)", "1"},
		{"SELECT ask(9, 1) AS x FROM 'a' WHERE ask(1, 'fail') AND ask(2, TRUE)", "1"},
		{"SELECT CASE t WHEN 1 THEN ask(1, 1) WHEN ask(2, 2) THEN ask(3, 3) ELSE ask(4, 4) END AS x FROM 'a'", "1"},
		{"SET @x = ask(1, 1) SELECT get_or_default(ask(2, 'fail'), 'd') AS y, ask(3, 'fail'), ask(4, 1) FROM 'a' WHERE @x = 1", "1 2 3"},
	} {
		q, err := Compile(tt.sql, opts)
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{Topic: "a", Payload: []byte(`{"t":1}`)}
		asked = nil
		_, _, evalErr := q.Eval(t.Context(), m)
		byEval := strings.Join(asked, " ")
		asked = nil
		ex := q.Explain(t.Context(), m)
		if got := strings.Join(asked, " "); got != tt.want || byEval != tt.want || (evalErr != nil) != (ex.Err != nil) {
			t.Errorf("%s: Eval asked %q (%v), Explain %q (%v), want %q", tt.sql, byEval, evalErr, got, ex.Err, tt.want)
		}
	}
}

func TestEngineExplain(t *testing.T) {
	e, err := Open(t.Context(), NewMemStore(), noActions{t}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Put(t.Context(), Rule{Name: "r", SQL: "SELECT * FROM 'a'", Actions: []ActionSpec{{Type: "x"}}}); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]Outcome{"a": Fired, "b": OtherTopic, "$aws/rules/r": Fired, "$aws/rules/s": OtherTopic} {
		if ex, err := e.Explain(t.Context(), "r", &Message{Topic: topic, Payload: []byte(`{}`)}); err != nil || ex.Outcome != want {
			t.Errorf("%s: %+v, %v", topic, ex, err)
		}
	}
	if _, err := e.Explain(t.Context(), "none", &Message{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// An explanation and an evaluation come to the same for every vector.
func TestExplainVectors(t *testing.T) {
	vectors.Run(t, "rules", nil, func(raw vectors.Vector) error {
		var v vector
		if err := json.Unmarshal(raw.Raw, &v); err != nil {
			return err
		}
		m, err := v.message()
		if err != nil {
			return err
		}
		if m.Time.IsZero() {
			m.Time = time.UnixMilli(1)
		}
		q, err := Compile(v.SQL, &CompileOptions{Version: v.SQLVersion, AccountID: v.Context.AccountID})
		if err != nil || !q.MatchTopic(m.Topic) {
			return nil
		}
		out, matched, evalErr := q.Eval(t.Context(), m)
		ex := q.Explain(t.Context(), m)
		switch {
		case (evalErr != nil) != (ex.Outcome == Failed):
			return fmt.Errorf("Eval fails with %v, Explain says %s: %s", evalErr, ex.Outcome, ex.Reason)
		case evalErr == nil && matched != (ex.Outcome == Fired):
			return fmt.Errorf("Eval matches %v, Explain says %s: %s", matched, ex.Outcome, ex.Reason)
		case matched && string(asJSON(out)) != string(ex.Output) && !strings.Contains(v.SQL, "newuuid") && !strings.Contains(v.SQL, "rand"):
			return fmt.Errorf("Eval makes %s, Explain %s", out, ex.Output)
		}
		return nil
	})
}

type noActions struct{ t *testing.T }

func (n noActions) Bind(context.Context, ActionSpec) (Action, error) {
	return ActionFunc(func(context.Context, Firing) error { n.t.Error("an action was invoked"); return nil }), nil
}
