package rulestest

import (
	"context"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/rules"
)

var hot = rules.Rule{Name: "hot", SQL: "SELECT t, topic(2) AS thing, clientid() AS c FROM 'sensors/+' WHERE t > 30"}

func TestRun(t *testing.T) {
	Run(t, hot, []Case{
		{Name: "a hot one fires", Topic: "sensors/s1", Payload: `{"t": 31.0}`, Message: rules.Message{ClientID: "me"},
			Want: `{"thing": "s1", "c": "me", "t": 31}`},
		{Name: "a cold one does not", Topic: "sensors/s1", Payload: `{"t": 3}`},
		{Name: "another topic does not reach it", Topic: "sensors/s1/x", Payload: `{"t": 31}`},
		{Name: "basic ingest does", Message: rules.Message{Topic: "$aws/rules/hot/a/b", Payload: []byte(`{"t": 31}`)},
			Want: `{"t": 31, "thing": "b", "c": "n/a"}`},
		{Name: "basic ingest of another rule does not", Topic: "$aws/rules/cold/a/b", Payload: `{"t": 31}`},
	}, nil)
	Run(t, rules.Rule{Name: "empty", SQL: "SELECT VALUE nothing FROM 'a'"}, []Case{
		{Name: "nothing is sent", Topic: "a", Payload: "{}", FiresEmpty: true},
	}, nil)
	Run(t, rules.Rule{Name: "raw", SQL: "SELECT * FROM 'a'"}, []Case{
		{Name: "bytes are passed on", Topic: "a", Payload: "\x00\x01", Want: "\x00\x01"},
	}, nil)
	Run(t, rules.Rule{Name: "time", SQL: "SELECT timestamp() AS ts FROM 'a'"}, []Case{
		{Name: "the time is fixed", Topic: "a", Want: `{"ts": 1767225600000}`},
	}, nil)
	Run(t, rules.Rule{Name: "old", SQL: "SELECT sql_version() AS v FROM 'a'", SQLVersion: rules.Version2015}, []Case{
		{Name: "the rule's version counts", Topic: "a", Want: `{"v": "2015-10-08"}`},
	}, &rules.CompileOptions{Version: rules.Version2016})
	Run(t, rules.Rule{Name: "fails", SQL: "SELECT *, 1 AS x FROM 'a'"}, []Case{
		{Name: "a failure can be wanted", Topic: "a", Payload: "not json", Err: "JSON"},
	}, nil)
}

// TestRunNotices: each case is wrong in one way and must be told so.
func TestRunNotices(t *testing.T) {
	disabled := hot
	disabled.Disabled = true
	for _, c := range []struct {
		rule rules.Rule
		c    Case
		want string
	}{
		{hot, Case{Topic: "sensors/s1", Payload: `{"t":31}`}, `fired with {"t":31,"thing":"s1","c":"n/a"}`},
		{hot, Case{Topic: "sensors/s1", Payload: `{"t":31}`, Want: `{"t":32}`}, "want {\"t\":32}"},
		{hot, Case{Topic: "sensors/s1", Payload: `{"t":31}`, Want: `nonsense`}, "want nonsense"},
		{hot, Case{Topic: "sensors/s1", Payload: `{"t":31}`, FiresEmpty: true}, "want "},
		{hot, Case{Topic: "sensors/s1", Payload: `{"t":3}`, Want: `{}`}, "WHERE is not true"},
		{hot, Case{Topic: "other", Payload: `{"t":31}`, Want: `{}`}, "does not reach"},
		{disabled, Case{Topic: "sensors/s1", Payload: `{"t":31}`, Want: `{}`}, "disabled"},
		{hot, Case{Topic: "sensors/s1", Payload: `{"t":31}`, Err: "x"}, "did not fail"},
		{rules.Rule{Name: "r", SQL: "SELECT *, 1 AS x FROM 'a'"}, Case{Topic: "a", Payload: "not json", Want: "{}"}, "failed:"},
		{rules.Rule{Name: "r", SQL: "SELECT *, 1 AS x FROM 'a'"}, Case{Topic: "a", Payload: "not json", Err: "no such text"}, "failed:"},
		{rules.Rule{Name: "r", SQL: "SELECT n FROM 'a'"}, Case{Topic: "a", Payload: `{"n":9007199254740993}`, Want: `{"n":9007199254740992}`}, "want"},
	} {
		q, err := compile(c.rule, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.c.check(context.Background(), &c.rule, q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v\ngot %v\nwant %q", c.c, err, c.want)
		}
	}
	for _, r := range []rules.Rule{{Name: "r", SQL: "SELEKT"}, {Name: "a b", SQL: hot.SQL}} {
		if _, err := compile(r, nil); err == nil {
			t.Errorf("%+v compiles", r)
		}
	}
}
