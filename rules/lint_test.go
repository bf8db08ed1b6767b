package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	samples := [][]byte{[]byte(`{"temperature":1,"place":{"site":"x"}}`), []byte(`{"humidity":2}`)}
	for _, tt := range []struct{ sql, want string }{ // want: kind@column: a part of the text, joined by ;
		{`SELECT * FROM 'a' WHERE temperature > 30 AND temperature <= 40`, ``},
		{`SELECT * FROM 'a' WHERE 1 = 2`, `never-true@25: 1 = 2 is never true`},
		{`SELECT * FROM 'a' WHERE temperature > 'hot'`, `never-true@25: only numbers have an order`},
		{`SELECT * FROM 'a' WHERE temperature > '30'`, ``},
		{`SELECT * FROM 'a' WHERE temperature = 1/0`, `never-true@25: 1 / 0 is always Undefined`},
		{`SELECT * FROM 'a' WHERE temperature IN []`, `never-true@25: the list is empty`},
		{`SELECT * FROM 'a' WHERE temperature IN 5`, `never-true@25: 5 is not a list`},
		{`SELECT * FROM 'a' WHERE temperature > 30 AND temperature < 20`, `never-true@46: temperature > 30 and temperature < 20 are never true together`},
		{`SELECT * FROM 'a' WHERE temperature > 30 AND humidity = 1 AND 30 >= temperature`, `never-true@63: temperature > 30 and 30 >= temperature are`},
		{`SELECT * FROM 'a' WHERE temperature >= 30 AND temperature <= 30`, ``},
		{`SELECT * FROM 'a' WHERE temperature > 5 AND temperature < 3 AND humidity = 1`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature < 5 AND temperature < 9 AND temperature > 6`, `never-true@65: temperature < 9 and temperature > 6`},
		{`SELECT * FROM 'a' WHERE temperature > 9 AND temperature > 5 AND temperature < 6`, `never-true@65: together`},
		{`SELECT * FROM 'a' WHERE temperature >= 5 AND temperature > 5 AND temperature <= 5`, `never-true@66: together`},
		{`SELECT * FROM 'a' WHERE temperature <= 5 AND temperature < 5 AND temperature >= 5`, `never-true@66: together`},
		{`SELECT * FROM 'a' WHERE temperature > 5 AND temperature >= 5 AND temperature <= 5`, `never-true@66: together`},
		{`SELECT * FROM 'a' WHERE temperature < 5 AND temperature <= 5 AND temperature >= 5`, `never-true@66: together`},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature > 3`, ``},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature >= 5 AND temperature <= 5`, ``},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature < 5`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature < 3`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature < 9`, ``},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature > 9`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature < 9 AND temperature = 12`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature = 1 AND temperature = 2`, `never-true@45: temperature = 1 and temperature = 2`},
		{`SELECT * FROM 'a' WHERE temperature IN [1, 2] AND temperature = 3`, `never-true@51: temperature IN [1, 2] and temperature = 3`},
		{`SELECT * FROM 'a' WHERE temperature IN [1, 2] AND temperature = 2`, ``},
		{`SELECT * FROM 'a' WHERE temperature IN [1, 2] AND temperature IN [2, 3] AND temperature <> 2`, `never-true@77: temperature IN [2, 3] and`},
		{`SELECT * FROM 'a' WHERE temperature IN [1, 'x'] AND temperature > 1`, `never-true@53: together`},
		{`SELECT * FROM 'a' WHERE temperature IN [1, 'x'] AND temperature >= 1`, ``},
		{`SELECT * FROM 'a' WHERE temperature <> 5 AND temperature = 5`, `never-true@46: together`},
		{`SELECT * FROM 'a' WHERE temperature <> 5 AND temperature = '5'`, ``},
		{`SELECT * FROM 'a' WHERE temperature NOT IN [NULL, 5] AND temperature = NULL`, `never-true@58: together`},
		{`SELECT * FROM 'a' WHERE temperature NOT IN [1, 2] AND temperature <> 3`, ``},
		{`SELECT * FROM 'a' WHERE temperature IN [[1], 2] AND temperature = [1]`, ``},
		{`SELECT * FROM 'a' WHERE temperature IN [] AND humidity = 1`, `never-true@25: the list is empty`},
		{`SELECT * FROM 'a' WHERE temperature = [1] AND temperature = [1]`, ``},
		{`SELECT * FROM 'a' WHERE temperature = [1] AND temperature = 1`, ``},
		{`SELECT * FROM 'a' WHERE temperature = 1 AND temperature = '1'`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature = 5 AND temperature > 5`, `never-true@45: together`},
		{`SELECT * FROM 'a' WHERE temperature = 'x' AND temperature > 5`, `never-true@47: together`},
		{`SELECT * FROM 'a' WHERE temperature = '6' AND temperature > 5`, ``},
		{`SELECT * FROM 'a' WHERE temperature > 30 OR temperature < 20`, ``},
		{`SELECT * FROM 'a' WHERE humidity = 1 OR (temperature > 30 AND temperature < 20)`, `never-true@63: together`},
		{`SELECT * FROM 'a' WHERE rand() > 0.7 AND rand() < 0.3`, ``},
		{`SELECT * FROM 'a' WHERE floor(temperature) = 1 AND floor(temperature) = 2`, `never-true@52: together`},
		{`SELECT CASE temperature WHEN 1 THEN 'a' WHEN 2 THEN 'b' WHEN 1.0 THEN 'c' ELSE 'd' END AS x FROM 'a'`, `unreachable@62: WHEN 1.0 is never taken`},
		{`SELECT CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' WHEN temperature THEN 'e' ELSE 'd' END AS x FROM 'a'`, `unreachable@20: CASE is of 2;unreachable@78: ELSE 'd'`},
		{`SELECT temprature, place.sit, humidity, temprature FROM 'a'`, `unknown-field@8: no sample has temprature, did you mean temperature?;unknown-field@20: did you mean place.site?`},
		{`SELECT place.sit.x, plac.site FROM 'a'`, `unknown-field@8: no sample has place.sit.x, did you mean place.site?;unknown-field@21: no sample has plac.site, did you mean place?`},
		{`SELECT CASE h0 WHEN h1 THEN h2 WHEN h3 THEN h4 ELSE h5 END AS x FROM 'a'`, `unknown-field@13: h0;unknown-field@21: h1;unknown-field@29: h2;unknown-field@37: h3;unknown-field@45: h4;unknown-field@53: h5`},
		{`SELECT -h0, upper(h1), CAST(h2 AS Int), [h3], {'a': h4}, h5 + h6, get(h7, 'a').b, NOT h8 FROM 'a'`, `unknown-field@9: h0;unknown-field@19: h1;unknown-field@29: h2;unknown-field@42: h3;unknown-field@53: h4;` +
			`unknown-field@58: h5;unknown-field@63: h6;unknown-field@71: h7;unknown-field@87: h8`},
		{`SELECT * FROM 'a' WHERE temperature = 1/0 AND temperature = 1`, `never-true@25: always Undefined`},
		{`SELECT * FROM 'a' WHERE temperature = 1 AND temperature = 1/0`, `never-true@45: always Undefined`},
		{`SELECT * FROM 'a' WHERE humidity > 1 AND (temperature > 5 AND temperature < 3)`, `never-true@63: together`},
		{`SELECT CASE 1/0 WHEN 1 THEN 2 ELSE 3 END AS x FROM 'a'`, `unreachable@8: CASE 1 / 0 is always Undefined`},
		{`SELECT CASE upper(place.site) WHEN 'A' THEN 1 WHEN 2 THEN 3 END AS x FROM 'a'`, `unreachable@52: WHEN 2 is never taken: upper(place.site) is a String`},
		{`SELECT CASE temperature > 1 WHEN TRUE THEN 1 WHEN FALSE THEN 2 ELSE 3 END AS x FROM 'a'`, `unreachable@69: ELSE 3 is never taken: there are arms for TRUE and FALSE`},
		{`SELECT CASE temperature > 1 WHEN TRUE THEN 1 ELSE 3 END AS x FROM 'a'`, ``},
		{`SELECT CASE temperature > 1 WHEN FALSE THEN 1 ELSE 3 END AS x FROM 'a'`, ``},
		{`SELECT CASE upper(place.site) WHEN 2 THEN 1 WHEN 2 THEN 3 END AS x FROM 'a'`, `unreachable@36: WHEN 2 is never taken: upper(place.site) is a String;unreachable@50: WHEN 2 is never taken: upper(place.site) is a String`},
		{`SELECT CASE temperature WHEN 1/0 THEN 1 WHEN 1/0 THEN 2 END AS x FROM 'a'`, `unreachable@30: it is always Undefined;unreachable@46: it is always Undefined`},
		{`SELECT CASE temperature WHEN 1 THEN 1 WHEN 1 THEN 2 WHEN 1 THEN 3 END AS x FROM 'a'`, `unreachable@44: an arm before it is the same;unreachable@58: an arm before it is the same`},
		{`SELECT CASE 1 WHEN 1 THEN 1 WHEN 2 THEN 2 WHEN 3 THEN 3 END AS x FROM 'a'`, `unreachable@34: CASE is of 1;unreachable@48: CASE is of 1`},
		{`SELECT CASE temperature WHEN 1/0 THEN 1 WHEN 2 THEN 2 END AS x FROM 'a'`, `unreachable@30: it is always Undefined`},
		{`SELECT * FROM 'a' WHERE FALSE`, `never-true@25: FALSE is never true`},
		{`SELECT * FROM 'a' WHERE 'true' AND TRUE`, ``},
		{`SELECT * FROM 'a' WHERE 1`, `never-true@25: 1 is never true`},
		{`SELECT * FROM 'a' WHERE temperature > 1 AND temperature * 1`, `never-true@45: temperature * 1 is never true`},
		{`SELECT * FROM 'a' WHERE temperature - 1`, `never-true@25: it is a number, which is no Boolean`},
		{`SELECT * FROM 'a' WHERE length(place.site) = 'x'`, `never-true@25: length(place.site) is a number, 'x' is a String, and nothing is converted`},
		{`SELECT * FROM 'a' WHERE isNull(temperature) = 'true'`, `never-true@25: isnull(temperature) is a Boolean, 'true' is a String`},
		{`SELECT * FROM 'a' WHERE upper(place.site) > 5`, ``},
		{`SELECT * FROM 'a' WHERE temperature + 1 = 'x'`, ``},
		{`SELECT * FROM 'a' WHERE 1 + temperature = 'x'`, ``},
		{`SELECT * FROM 'a' WHERE temperature + 'x' = 1`, `never-true@25: temperature + 'x' is a String, 1 is a number`},
		{`SELECT * FROM 'a' WHERE 1 * temperature + length(place.site) = 'x'`, `never-true@25: is a number, 'x' is a String`},
		{`SELECT * FROM 'a' WHERE (temperature > 1) > humidity`, `never-true@26: only numbers have an order, and temperature > 1 is a Boolean`},
		{`SELECT * FROM 'a' WHERE humidity <= [1]`, `never-true@25: only numbers have an order, and [1] is none`},
		{`SELECT * FROM 'a' WHERE humidity <= [temperature]`, `never-true@25: and [temperature] is an Array`},
		{`SELECT * FROM 'a' WHERE temperature <> temperature`, `never-true@25: both sides are the same`},
		{`SELECT * FROM 'a' WHERE temperature <= temperature`, ``},
		{`SELECT * FROM 'a' WHERE temperature < temperature`, `never-true@25: both sides are the same`},
		{`SELECT * FROM 'a' WHERE temperature > temperature`, `never-true@25: both sides are the same`},
		{`SELECT * FROM 'a' WHERE temperature >= temperature OR temperature = temperature`, ``},
		{`SELECT * FROM 'a' WHERE CAST(temperature AS String) = 5`, `never-true@25: CAST(temperature AS string) is a String, 5 is a number`},
		{`SELECT * FROM 'a' WHERE CAST(temperature AS Decimal) = 'x'`, `never-true@25: CAST(temperature AS decimal) is a number, 'x' is a String`},
		{`SELECT * FROM 'a' WHERE rand() <> rand()`, ``},
		{`SELECT * FROM 'a' WHERE temperature IN upper('x')`, `never-true@25: upper('x') is not a list`},
		{`SELECT * FROM 'a' WHERE EXISTS (SELECT * FROM place WHERE 1 = 2)`, `never-true@59: 1 = 2 is never true`},
		{`SELECT (SELECT nothing FROM place WHERE none > 1 AND none < 0) AS x FROM 'a'`, `never-true@54: never true together`},
		{`SELECT regexp_matches(place.site, '^a(b') AS x FROM 'a'`, `bad-pattern@36: missing closing ) in ^a(b`},
		{`SELECT regexp_substr(place.site, 'ab(?=c)') AS x FROM 'a'`, `bad-pattern@37: (?= is not supported: patterns have no lookaround and no backreferences`},
		{`SELECT regexp_replace(place.site, '(a)\1', 'b') AS x FROM 'a'`, `bad-pattern@39: \1 is not supported`},
		{`SELECT regexp_replace(place.site, 'a\y', 'b') AS x FROM 'a'`, `bad-pattern@37: invalid escape sequence in \y`},
		{`SELECT regexp_replace(place.site, 'x*+', 'b') AS x FROM 'a'`, `bad-pattern@37: *+`},
		{`SELECT regexp_replace(place.site, '''[', 'b') AS x FROM 'a'`, `bad-pattern@35: [`},
		{`SELECT regexp_matches(place.site, 'a{1001}') AS x FROM 'a'`, `bad-pattern@37: {1001}`},
		{`SELECT regexp_matches(place.site, '(abcdefgh){900}') AS x FROM 'a'`, `bad-pattern@35: repetitions multiply`},
		{`SELECT regexp_matches(place.site, '` + strings.Repeat("a", 4097) + `') AS x FROM 'a'`, `bad-pattern@35: longer than 4096 bytes`},
		{`SELECT regexp_replace(place.site, 'a', '$1') AS x FROM 'a'`, `bad-pattern@40: names a group that the pattern has not`},
		{`SELECT regexp_replace(place.site, '(?P<n>a)', '${n}$1\$') AS x FROM 'a'`, ``},
		{`SELECT parse_time('yyyy-QQ', temperature), time_to_epoch(place.site, 'b') AS x FROM 'a'`, `bad-pattern@19: 'yyyy-QQ' is no pattern;bad-pattern@70: 'b' is no pattern`},
		{`SELECT parse_time('` + strings.Repeat("-", 256) + `', temperature), time_to_epoch(humidity, '` + strings.Repeat("-", 256) + `') FROM 'a'`, ``},
		{`SELECT parse_time('` + strings.Repeat("-", 257) + `', temperature), time_to_epoch(humidity, '` + strings.Repeat("-", 257) + `') FROM 'a'`, `bad-pattern@19: is no pattern;bad-pattern@318: is no pattern`},
		{`SELECT parse_time('yyyy', temperature), time_to_epoch(place.site, 'uuuu'), upper() FROM 'a'`, ``},
		{`SELECT (SELECT v FROM list) AS l FROM 'a' WHERE topic(2) = 'x'`, `unknown-field@23: no sample has list`},
		{`SET @x = temprature SELECT @x.y AS z FROM 'a'`, `unknown-field@10: temperature?`},
	} {
		found, err := Lint(tt.sql, samples, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		var wants []string
		if tt.want != "" {
			wants = strings.Split(tt.want, ";")
		}
		ok := len(found) == len(wants)
		for i := range min(len(found), len(wants)) {
			head, part, _ := strings.Cut(wants[i], ": ")
			ok = ok && head == fmt.Sprintf("%s@%d", found[i].Kind, found[i].Column) && strings.Contains(found[i].Msg, part)
		}
		if !ok {
			t.Errorf("%s\ngot  %v\nwant %s", tt.sql, found, tt.want)
		}
	}
	// The sample that has most of a path says what its end may be.
	found, err := Lint("SELECT place.sut FROM 'a'", [][]byte{[]byte(`{"sit":1,"sut":2}`), []byte(`{"place":{"site":"x"}}`), []byte(`{"sut":2}`), []byte("[1]")}, nil)
	if err != nil || len(found) != 1 || !strings.HasSuffix(found[0].Msg, "no sample has place.sut, did you mean place.site?") {
		t.Error(found, err)
	}
	if _, err := Lint("SELECT", nil, nil); !errors.As(err, new(*SyntaxError)) {
		t.Error(err)
	}
	if _, err := Lint("SELECT a FROM 'a'", [][]byte{[]byte("{")}, nil); err == nil {
		t.Error("a sample that is not JSON")
	}
	if found, err := Lint("SELECT a FROM 'a'", nil, nil); err != nil || found != nil {
		t.Error(found, err)
	}
}

// TestEngineLints: who puts a statement that can hardly be meant so hears of
// it, and it is put all the same.
func TestEngineLints(t *testing.T) {
	var text strings.Builder
	e := open(t, NewMemStore(), binder{}, &Options{Logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	put(t, e, "fine", "SELECT regexp_substr(a, 'x+') AS x FROM 'a' WHERE b > 1")
	if text.Len() > 0 {
		t.Errorf("logged %s", text.String())
	}
	put(t, e, "looks_ahead", "SELECT regexp_substr(a, 'x(?=y)') AS x FROM 'a' WHERE b > 1 AND b < 0")
	if n := strings.Count(text.String(), "rule=looks_ahead line=1 column="); n != 2 || !strings.Contains(text.String(), "column=27 ") {
		t.Errorf("logged %s", text.String())
	}
}

func TestCycles(t *testing.T) {
	rule := func(name, filter string, topics ...string) Rule {
		r := Rule{Name: name, SQL: "SELECT * FROM '" + filter + "'"}
		for _, topic := range topics {
			params, err := json.Marshal(map[string]string{"topic": topic})
			if err != nil {
				t.Fatal(err)
			}
			r.Actions = append(r.Actions, ActionSpec{Type: "republish", Params: params})
		}
		return r
	}
	off := rule("a", "x", "x")
	off.Disabled = true
	onError := rule("a", "x")
	onError.ErrorAction = &rule("", "", "x").Actions[0]
	for name, tt := range map[string]struct {
		rules []Rule
		want  string
	}{
		"none":                 {[]Rule{rule("a", "x", "y"), rule("b", "y", "z"), rule("c", "z")}, ""},
		"itself":               {[]Rule{rule("a", "x/+", "x/y")}, "[a]"},
		"two":                  {[]Rule{rule("a", "x", "y"), rule("b", "y", "x")}, "[a b]"},
		"three, and a way out": {[]Rule{rule("a", "x", "q", "y"), rule("b", "y", "z"), rule("c", "z/#", "w"), rule("d", "z", "x")}, "[a b d]"},
		"two of them":          {[]Rule{rule("a", "x", "x"), rule("b", "y"), rule("c", "z/#", "z/1")}, "[a] [c]"},
		"template":             {[]Rule{rule("a", "x/+/y", "x/${topic(2)}/y")}, "[a]"},
		"part of a level":      {[]Rule{rule("a", "x/abc", "x/a${n}c")}, "[a]"},
		"other part":           {[]Rule{rule("a", "x/abd", "x/a${n}c")}, ""},
		"the whole topic":      {[]Rule{rule("a", "x/+", "${topic()}")}, "[a]"},
		"more levels":          {[]Rule{rule("a", "x/+/+/y", "x/${topic()}/y")}, ""},
		"many levels":          {[]Rule{rule("a", "x/#", "y/${topic()}"), rule("b", "y/+/+/z", "x/1")}, "[a b]"},
		"too few levels":       {[]Rule{rule("a", "x/+/+", "y/${topic()}"), rule("b", "y/+", "x/1/2")}, ""},
		"one level each":       {[]Rule{rule("a", "x/+/data", "x/${topic(2)}")}, ""},
		"known level":          {[]Rule{rule("a", "x/+", "${topic(1)}/1")}, "[a]"},
		"known and other":      {[]Rule{rule("a", "x/+", "z${topic(1)}/1")}, ""},
		"pieces in order":      {[]Rule{rule("a", "a-b-c", "${n}b${m}")}, "[a]"},
		"piece in the first":   {[]Rule{rule("a", "abc", "ab${n}b${m}c")}, ""},
		"piece in the last":    {[]Rule{rule("a", "abc", "a${n}b${m}bc")}, ""},
		"piece between":        {[]Rule{rule("a", "abbc", "ab${n}b${m}c")}, "[a]"},
		"pieces overlap":       {[]Rule{rule("a", "aba", "ab${n}ba")}, ""},
		"brace in a text":      {[]Rule{rule("a", "x/y", "x/${get({'a': '}/'}, 'a')}")}, "[a]"},
		"no template":          {[]Rule{rule("a", "x", "x${")}, ""},
		"an asterisk is text":  {[]Rule{rule("a", "x/y", "x/*")}, ""},
		"wildcard and $":       {[]Rule{rule("a", "#", "$$aws/things/t/shadow/update")}, ""},
		"no $ from a value":    {[]Rule{rule("a", "$aws/rules", "${x}/rules")}, ""},
		"no rule from a value": {[]Rule{rule("a", "x", "${x}/${y}/a")}, ""},
		"other end":            {[]Rule{rule("a", "x/+", "x/${n}/y")}, ""},
		"other beginning":      {[]Rule{rule("a", "sensors/#", "out/${topic()}")}, ""},
		"anything":             {[]Rule{rule("a", "x", "${target}")}, ""},
		"basic ingest":         {[]Rule{rule("a", "x", "$$aws/rules/b/x"), rule("b", "y", "x")}, "[a b]"},
		"reserved":             {[]Rule{rule("a", "$aws/things/+/shadow/update/accepted", "$$aws/things/${thing}/shadow/update")}, ""},
		"reserved cycle":       {[]Rule{rule("a", "$aws/things/+/shadow/update", "$$aws/things/${thing}/shadow/update")}, "[a]"},
		"below, not itself":    {[]Rule{rule("a", "x/#", "x")}, ""},
		"disabled":             {[]Rule{off}, ""},
		"error action":         {[]Rule{onError}, "[a]"},
		"other action":         {[]Rule{{Name: "a", SQL: "SELECT * FROM 'x'", Actions: []ActionSpec{{Type: "log", Params: json.RawMessage(`{"topic":"x"}`)}}}}, ""},
	} {
		var got []string
		for _, c := range Cycles(tt.rules, nil) {
			got = append(got, fmt.Sprint(c.Rules))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", name, got, tt.want)
		}
	}
}

// An engine refuses the edit that closes a cycle, whichever it is, and keeps
// what it had.
func TestEngineRefusesCycles(t *testing.T) {
	ctx := t.Context()
	republish := func(name, filter, topic string) Rule {
		return Rule{Name: name, SQL: "SELECT * FROM '" + filter + "'", Actions: []ActionSpec{{Type: "republish", Params: json.RawMessage(`{"topic":"` + topic + `"}`)}}}
	}
	e, err := Open(ctx, NewMemStore(), noActions{t}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, r := range []Rule{republish("a", "x", "y"), republish("b", "y", "z")} {
		if _, err := e.Create(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, err error, want ...string) {
		t.Helper()
		var ce *CycleError
		if !errors.Is(err, ErrCycle) || !errors.As(err, &ce) || fmt.Sprint(ce.Rules) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want a cycle of %v", what, err, want)
		}
	}
	_, err = e.Create(ctx, republish("c", "z", "x"))
	refused("Create", err, "c", "a", "b")
	_, err = e.Replace(ctx, republish("b", "y", "x"))
	refused("Replace", err, "b", "a")
	if info, err := e.Rule("b"); err != nil || info.Version != 1 {
		t.Errorf("b is %+v, %v", info, err)
	}
	off := republish("c", "z", "x")
	off.Disabled = true
	if _, err := e.Create(ctx, off); err != nil {
		t.Fatal(err)
	}
	refused("Enable", e.Enable(ctx, "c"), "c", "a", "b")
	if err := e.Disable(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := e.Enable(ctx, "c"); err != nil {
		t.Errorf("with a disabled: %v", err)
	}
	free, err := Open(ctx, NewMemStore(), noActions{t}, &Options{AllowCycles: true})
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	if _, err := free.Create(ctx, republish("a", "x", "x")); err != nil {
		t.Errorf("AllowCycles: %v", err)
	}
}
