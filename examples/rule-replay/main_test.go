package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const capture = `{"topic": "sensors/s1", "payload": {"t": 31}}
{"topic": "sensors/s2", "payload": {"t": 3}}
`
	now := file("now.json", `{"ruleName": "hot", "sql": "SELECT t FROM 'sensors/+' WHERE t > 30", "actions": [{"republish": {"topic":"alerts/${topic(2)}"}}]}`)
	next := file("next.json", `{"ruleName": "hot", "sql": "SELECT t FROM 'sensors/+' WHERE t > 2", "actions": [{"republish": {"topic":"alarms/${topic(2)}"}}]}`)
	broken := file("broken.json", `{"ruleName": "hot", "sql": "SELEKT", "actions": []}`)
	two := file("two.json", `{"ruleName": "a", "sql": "SELECT t FROM 'sensors/s1'", "actions": []}
{"ruleName": "b", "sql": "SELECT t FROM 'other'", "actions": []}`)
	circle := file("circle.json", `{"ruleName": "a", "sql": "SELECT t FROM 'sensors/+'", "actions": [{"republish": {"topic":"sensors/${topic(2)}"}}]}`)
	messages := file("capture.jsonl", capture)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"the same rules", []string{"-before", now, "-after", now, messages}, exitSame,
			"2 messages: 1 sent before, 1 after: 0 more, 0 less, 0 differently\n"},
		{"other rules", []string{"-before", now, "-after", next}, exitDifferent,
			"@ message 1 on sensors/s1\n- hot: republish {\"topic\":\"alerts/s1\"} <- {\"t\":31}\n" +
				"+ hot: republish {\"topic\":\"alarms/s1\"} <- {\"t\":31}\n" +
				"@ message 2 on sensors/s2\n+ hot: republish {\"topic\":\"alarms/s2\"} <- {\"t\":3}\n" +
				"2 messages: 1 sent before, 2 after: 1 more, 0 less, 1 differently\n"},
		{"the summary alone", []string{"-quiet", "-before", now, "-after", next, "-"}, exitDifferent,
			"2 messages: 1 sent before, 2 after: 1 more, 0 less, 1 differently\n"},
		{"a statement alone", []string{"-sql", "SELECT t + 1 AS x FROM 'sensors/+' WHERE t > 30"}, exitDifferent,
			"@ message 1 on sensors/s1\n+ sql: print {} <- {\"x\":32}\n2 messages: 0 sent before, 1 after: 1 more, 0 less, 0 differently\n"},
		{"a rule that does not compile", []string{"-after", broken, messages}, exitError, "line 1, column 1"},
		{"why it fires, and does not", []string{"-explain", "-sql", "SELECT t FROM 'sensors/+' WHERE temp > 30 OR t > 30"}, exitSame, `@ message 1 on sensors/s1
sql: filtered: WHERE is not true: temp > 30 OR t > 30 is Undefined, since temp is Undefined: the payload has no such member
  WHERE        temp is Undefined: the payload has no such member <- here it begins
  WHERE      temp > 30 is Undefined: temp is Undefined
  WHERE        t = 31
  WHERE      t > 30 = true
  WHERE    temp > 30 OR t > 30 is Undefined: temp > 30 is Undefined
@ message 2 on sensors/s2
sql: filtered: WHERE is not true: temp > 30 OR t > 30 is Undefined, since temp is Undefined: the payload has no such member
  WHERE        temp is Undefined: the payload has no such member <- here it begins
  WHERE      temp > 30 is Undefined: temp is Undefined
  WHERE        t = 3
  WHERE      t > 30 = false
  WHERE    temp > 30 OR t > 30 is Undefined: temp > 30 is Undefined
`},
		{"why, of many rules those of the topic", []string{"-explain", "-after", two}, exitSame, "@ message 1 on sensors/s1\na: fired: there is no WHERE\n  SELECT   t = 31\n  -> {\"t\":31}\n"},
		{"nothing to find", []string{"-lint", "-after", now}, exitSame, "1 rules, 0 findings\n"},
		{"a field that no payload has", []string{"-lint", "-sql", "SELECT tt FROM 'sensors/+'"}, exitDifferent, "sql: unknown-field: line 1, column 8: no sample has tt\nSELECT tt FROM 'sensors/+'\n       ^\n1 rules, 1 findings\n"},
		{"a circle", []string{"-lint", "-after", circle}, exitDifferent, "rules: rules feed one another: a -> a\n1 rules, 1 findings\n"},
		{"both", []string{"-lint", "-explain", "-after", now}, exitError, "stand alone"},
		{"with -before", []string{"-lint", "-before", now, "-after", now}, exitError, "stand alone"},
		{"no rules", nil, exitError, "either -after or -sql"},
		{"two captures", []string{"-after", now, "a", "b"}, exitError, "at most one"},
		{"a file that is not there", []string{"-after", filepath.Join(dir, "none")}, exitError, "none"},
		{"a capture that is not there", []string{"-after", now, filepath.Join(dir, "none")}, exitError, "none"},
		{"rules that are not JSON", []string{"-after", messages, messages}, exitError, "capture.jsonl"},
		{"an unknown flag", []string{"-x"}, exitError, "flag provided but not defined"},
		{"help", []string{"-help"}, exitSame, "-before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(t.Context(), c.args, strings.NewReader(capture), &stdout, &stderr)
			got := stdout.String()
			if code == exitError || c.name == "help" {
				got = stderr.String()
			}
			if code != c.code || !strings.Contains(got, c.want) || code != exitError && c.name != "help" && got != c.want {
				t.Errorf("exit code %d, printed\n%s\nwant %d and\n%s", code, got, c.code, c.want)
			}
		})
	}
}

func TestFunctions(t *testing.T) {
	var out, stderr strings.Builder
	code := run(t.Context(), []string{"-functions"}, strings.NewReader(""), &out, &stderr)
	const want = "upper(str) str                           in upper case (since 2015-10-08)\n"
	if code != exitSame || !strings.HasSuffix(out.String(), want) || strings.Count(out.String(), "\n") < 70 {
		t.Errorf("exit code %d, printed\n%s%s", code, out.String(), stderr.String())
	}
}
