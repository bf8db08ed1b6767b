package shadowmqtt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
)

// A turn is one request and all that is published because of it, in order.
type turn struct {
	request string   // operation and payload; "wait 1h" passes time
	want    []string // end of the topic and payload; ... stands for what the next turn would repeat
}

// Conversations hold the specification sentence by sentence: each starts from
// nothing at second 1000, and each request comes a second after the last.
var conversations = map[string][]turn{
	"an empty state creates, and counts": {
		{`update {"state":{}}`, []string{`update/accepted {"state":{},"metadata":{},"version":1,"timestamp":1001}`,
			`update/documents {"current":{"state":{},"metadata":{},"version":1},"timestamp":1001}`}},
		{`get `, []string{`get/accepted {"state":{},"metadata":{},"version":1,"timestamp":1002}`}},
		{`update {"state":null}`, []string{`update/accepted {"state":null,"metadata":{"timestamp":1003},"version":2,"timestamp":1003}`,
			`update/documents {"previous":{"state":{},"metadata":{},"version":1},"current":{"state":{},"metadata":{},"version":2},"timestamp":1003}`}},
		{`update {"state":{"desired":{},"reported":{}}}`, []string{`update/accepted {"state":{"desired":{},"reported":{}},"metadata":{"desired":{},"reported":{}},"version":3,"timestamp":1004}`,
			`update/documents {"previous":{"state":{},"metadata":{},"version":2},"current":{"state":{},"metadata":{},"version":3},"timestamp":1004}`}},
		{`update {"state":{"desired":null}}`, []string{`update/accepted {"state":{"desired":null},"metadata":{"desired":{"timestamp":1005}},"version":4,"timestamp":1005}`, `...`}},
	},
	"nulls in objects": {
		{`update {"state":{"desired":{"a":{"b":null,"c":{"d":null}},"e":{},"f":{"g":null,"h":{}}}}}`, []string{
			`update/accepted {"state":{"desired":{"a":{"b":null,"c":{"d":null}},"e":{},"f":{"g":null,"h":{}}}},"metadata":{"desired":{"a":{"b":{"timestamp":1001},"c":{"d":{"timestamp":1001}}},"e":{},"f":{"g":{"timestamp":1001},"h":{}}}},"version":1,"timestamp":1001}`,
			`update/delta {"version":1,"timestamp":1001,"state":{"e":{},"f":{"h":{}}},"metadata":{"e":{},"f":{"h":{}}}}`,
			`...`}},
		{`update {"state":{"desired":{"e":null,"f":{"h":null},"none":null}}}`, []string{`...`,
			`update/delta {"version":2,"timestamp":1002,"state":{"f":{}},"metadata":{"f":{}}}`,
			`update/documents {"previous":{"state":{"desired":{"e":{},"f":{"h":{}}}},"metadata":{"desired":{"e":{},"f":{"h":{}}}},"version":1},"current":{"state":{"desired":{"f":{}}},"metadata":{"desired":{"f":{}}},"version":2},"timestamp":1002}`}},
		{`update {"state":{"desired":{"f":null}}}`, []string{`...`, `...`}},
		{`get `, []string{`get/accepted {"state":{},"metadata":{},"version":3,"timestamp":1004}`}},
	},
	"kinds that change": {
		{`update {"state":{"reported":{"a":1,"b":{"c":2},"d":[1,{"e":2}]}}}`, []string{`...`, `...`}},
		{`update {"state":{"reported":{"a":{"x":1},"b":[3],"d":"t"}}}`, []string{
			`update/accepted {"state":{"reported":{"a":{"x":1},"b":[3],"d":"t"}},"metadata":{"reported":{"a":{"x":{"timestamp":1002}},"b":[{"timestamp":1002}],"d":{"timestamp":1002}}},"version":2,"timestamp":1002}`,
			`update/documents {"previous":{"state":{"reported":{"a":1,"b":{"c":2},"d":[1,{"e":2}]}},"metadata":{"reported":{"a":{"timestamp":1001},"b":{"c":{"timestamp":1001}},"d":[{"timestamp":1001},{"e":{"timestamp":1001}}]}},"version":1},` +
				`"current":{"state":{"reported":{"a":{"x":1},"b":[3],"d":"t"}},"metadata":{"reported":{"a":{"x":{"timestamp":1002}},"b":[{"timestamp":1002}],"d":{"timestamp":1002}}},"version":2},"timestamp":1002}`}},
	},
	"metadata of what is written again and of what is not": {
		{`update {"state":{"desired":{"a":1,"b":{"c":2,"d":3}}}}`, []string{`...`, `...`, `...`}},
		{`update {"state":{"desired":{"b":{"c":2}}}}`, []string{`...`,
			`update/delta {"version":2,"timestamp":1002,"state":{"a":1,"b":{"c":2,"d":3}},"metadata":{"a":{"timestamp":1001},"b":{"c":{"timestamp":1002},"d":{"timestamp":1001}}}}`, `...`}},
		{`get {"clientToken":""}`, []string{`get/accepted {"state":{"desired":{"a":1,"b":{"c":2,"d":3}},"delta":{"a":1,"b":{"c":2,"d":3}}},"metadata":{"desired":{"a":{"timestamp":1001},"b":{"c":{"timestamp":1002},"d":{"timestamp":1001}}}},"version":2,"timestamp":1003}`}},
	},
	"what differs": {
		{`update {"state":{"desired":{"n":1,"z":0,"s":"1","o":{"p":1,"q":{}},"l":[1,2],"m":[{"a":1}],"e":{}},"reported":{"n":1.0,"z":-0.0,"s":1,"o":{"p":1e0,"q":{"r":1},"x":1},"l":[2,1],"m":[{"a":1.0}],"e":{"y":1},"only":1}}}`, []string{`...`,
			`update/delta {"version":1,"timestamp":1001,"state":{"s":"1","l":[1,2]},"metadata":{"s":{"timestamp":1001},"l":[{"timestamp":1001},{"timestamp":1001}]}}`, `...`}},
		{`update {"state":{"reported":{"s":"1"}}}`, []string{`...`, // not what this one touched, and told all the same
			`update/delta {"version":2,"timestamp":1002,"state":{"l":[1,2]},"metadata":{"l":[{"timestamp":1001},{"timestamp":1001}]}}`, `...`}},
		{`update {"state":{"desired":{"l":null}}}`, []string{`...`, `...`}}, // no delta any more
		{`update {"state":{"reported":null}}`, []string{`...`,
			`update/delta {"version":4,"timestamp":1004,"state":{"n":1,"z":0,"s":"1","o":{"p":1,"q":{}},"m":[{"a":1}],"e":{}},"metadata":{"n":{"timestamp":1001},"z":{"timestamp":1001},"s":{"timestamp":1001},"o":{"p":{"timestamp":1001},"q":{}},"m":[{"a":{"timestamp":1001}}],"e":{}}}`, `...`}},
		{`update {"state":{"desired":null}}`, []string{`...`, `...`}}, // without desired there is none
	},
	"versions": {
		{`update {"state":{},"version":0,"clientToken":"k"}`, []string{`update/rejected {"code":409,"message":"Version conflict","timestamp":1001,"clientToken":"k"}`}},
		{`update {"state":{"reported":{"a":1}}}`, []string{`...`, `...`}},
		{`update {"state":{"reported":{"a":2}},"version":1.0}`, []string{`...`, `...`}},
		{`update {"state":{"reported":{"a":3}},"version":1}`, []string{`update/rejected {"code":409,"message":"Version conflict","timestamp":1004}`}},
		{`update {"state":{"reported":{"a":3}},"version":-1}`, []string{`update/rejected {"code":400,"message":"Invalid version","timestamp":1005}`}},
		{`update {"state":{"reported":{"a":3}},"version":1.5}`, []string{`update/rejected {"code":400,"message":"Invalid version","timestamp":1006}`}},
		{`update {"state":{"reported":{"a":3}},"version":null}`, []string{`update/rejected {"code":400,"message":"Invalid version","timestamp":1007}`}},
		{`update {"state":{"reported":{"a":3}},"version":"2"}`, []string{`update/rejected {"code":400,"message":"Invalid version","timestamp":1008}`}},
		{`update {"state":{"reported":{"a":3}},"version":1e40}`, []string{`update/rejected {"code":400,"message":"Invalid version","timestamp":1009}`}},
		{`delete {"clientToken":"d","version":9,"state":7}`, []string{`delete/accepted {"version":2,"timestamp":1010,"clientToken":"d"}`}},
		{`delete {"clientToken":"d"}`, []string{`delete/rejected {"code":404,"message":"No shadow exists with name: 't'","timestamp":1011,"clientToken":"d"}`}},
		{`update {"state":{},"version":3}`, []string{`update/rejected {"code":409,"message":"Version conflict","timestamp":1012}`}}, // there is none
		{`wait 47h`, nil},
		{`update {"state":{"reported":{"a":1}}}`, []string{`update/accepted {"state":{"reported":{"a":1}},"metadata":{"reported":{"a":{"timestamp":170214}}},"version":4,"timestamp":170214}`,
			`update/documents {"current":{"state":{"reported":{"a":1}},"metadata":{"reported":{"a":{"timestamp":170214}}},"version":4},"timestamp":170214}`}},
		{`delete `, []string{`delete/accepted {"version":4,"timestamp":170215}`}},
		{`wait 49h`, nil},
		{`update {"state":{}}`, []string{`update/accepted {"state":{},"metadata":{},"version":1,"timestamp":346617}`, `...`}},
	},
	"what delete ignores, and what not": {
		{`update {"state":{}}`, []string{`...`, `...`}},
		{`delete hello`, []string{`delete/accepted {"version":1,"timestamp":1002}`}},
		{`update {"state":{}}`, []string{`...`, `...`}},
		{`delete [1]`, []string{`delete/accepted {"version":3,"timestamp":1004}`}},
		{`update {"state":{}}`, []string{`...`, `...`}},
		{"delete \xff", []string{`delete/accepted {"version":5,"timestamp":1006}`}},
		{`update {"state":{}}`, []string{`...`, `...`}},
		{`delete {"clientToken":7}`, []string{`delete/rejected {"code":400,"message":"Invalid clientToken","timestamp":1008}`}},
		{`delete {"clientToken":"` + strings.Repeat("x", 65) + `"}`, []string{`delete/rejected {"code":400,"message":"Invalid clientToken","timestamp":1009}`}},
		{`delete {"clientToken":"` + strings.Repeat("x", 64) + `"}`, []string{`...`}},
	},
	"requests that are none": {
		{`update `, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1001}`}},
		{`update null`, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1002}`}},
		{`update "state"`, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1003}`}},
		{`update {"state":{}} x`, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1004}`}},
		{`update {"state":{"desired":{"a":01}}}`, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1005}`}},
		{`update {"state":{"desired":{"a":NaN}}}`, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1006}`}},
		{"update {\"state\":{\"desired\":{\"a\":\"\t\"}}}", []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1007}`}},
		{"update {\"state\":{\"desired\":{\"a\":\"\xc3\"}}}", []string{`update/rejected {"code":415,"message":"Unsupported documented encoding; supported encoding is UTF-8","timestamp":1008}`}},
		{`update {}`, []string{`update/rejected {"code":400,"message":"Missing required node: state","timestamp":1009}`}},
		{`update {"State":{}}`, []string{`update/rejected {"code":400,"message":"Missing required node: state","timestamp":1010}`}}, // names have a case
		{`update {"state":[],"clientToken":"k"}`, []string{`update/rejected {"code":400,"message":"State node must be an object","timestamp":1011,"clientToken":"k"}`}},
		{`update {"state":{"desired":[]},"clientToken":"k"}`, []string{`update/rejected {"code":400,"message":"Desired node must be an object","timestamp":1012,"clientToken":"k"}`}},
		{`update {"state":{"reported":false},"clientToken":"k"}`, []string{`update/rejected {"code":400,"message":"Reported node must be an object","timestamp":1013,"clientToken":"k"}`}},
		{`update {"state":{"delta":{}},"clientToken":"k"}`, []string{`update/rejected {"code":400,"message":"State contains an invalid node: 'delta'","timestamp":1014,"clientToken":"k"}`}},
		{`update {"state":{"Desired":{}}}`, []string{`update/rejected {"code":400,"message":"State contains an invalid node: 'Desired'","timestamp":1015}`}},
		{`update {"state":{},"clientToken":null}`, []string{`update/rejected {"code":400,"message":"Invalid clientToken","timestamp":1016}`}},
		{`update {"clientToken":5}`, []string{`update/rejected {"code":400,"message":"Invalid clientToken","timestamp":1017}`}}, // before the state
		{`update {"state":{"reported":{"a":[1,[{"b":null}]]}},"clientToken":"k"}`, []string{`update/rejected {"code":400,"message":"Invalid JSON","timestamp":1018,"clientToken":"k"}`}},
		{`update {"state":{"desired":` + deep(9, `null`) + `},"version":"x"}`, []string{`update/rejected {"code":400,"message":"JSON contains too many levels of nesting; maximum is 8","timestamp":1019}`}}, // before the version
		{`update {"state":{"desired":{"a":"` + strings.Repeat("x", 8185) + `"}},"version":7}`, []string{`update/rejected {"code":409,"message":"Version conflict","timestamp":1020}`}},                       // before the size
		{`get {"clientToken":true}`, []string{`get/rejected {"code":400,"message":"Invalid clientToken","timestamp":1021}`}},
		{`get nothing`, []string{`get/rejected {"code":400,"message":"Invalid JSON","timestamp":1022}`}},
		{`get {"other":1,"clientToken":"k"}`, []string{`get/rejected {"code":404,"message":"No shadow exists with name: 't'","timestamp":1023,"clientToken":"k"}`}},
		{`name/n/get `, []string{`name/n/get/rejected {"code":404,"message":"No shadow exists with name: 'n'","timestamp":1024}`}},
		{`name/$x/update {"state":{},"clientToken":"k"}`, []string{`name/$x/update/rejected {"code":400,"message":"Shadow names that begin with $ are reserved","timestamp":1025,"clientToken":"k"}`}},
		{`name/a b/update {"state":{},"clientToken":"k"}`, []string{`name/a b/update/rejected {"code":400,"message":"Invalid shadow name","timestamp":1026,"clientToken":"k"}`}},
		{`name/` + strings.Repeat("n", 65) + `/get {"clientToken":"k"}`, []string{`name/` + strings.Repeat("n", 65) + `/get/rejected {"code":400,"message":"Invalid shadow name","timestamp":1027,"clientToken":"k"}`}},
		{`name/` + strings.Repeat("n", 64) + `/update {"state":{}}`, []string{`...`, `...`}},
		{`get `, []string{`get/rejected {"code":404,"message":"No shadow exists with name: 't'","timestamp":1029}`}}, // nothing of all that is there
	},
	"limits": {
		{`update {"state":{"desired":` + deep(8, `1`) + `}}`, []string{`...`, `...`, `...`}},
		{`update {"state":{"reported":` + deep(9, `1`) + `}}`, []string{`update/rejected {"code":400,"message":"JSON contains too many levels of nesting; maximum is 8","timestamp":1002}`}},
		{`update {"state":{"desired":null}}`, []string{`...`, `...`}},
		{`update {"state":{"desired":{"a":"` + strings.Repeat("x", 8184) + `"}}}`, []string{`...`, `...`, `...`}},
		{`update {"state":{"desired":{"a":"` + strings.Repeat("x", 8185) + `"}}}`, []string{`update/rejected {"code":413,"message":"The payload exceeds the maximum size allowed","timestamp":1005}`}},
		{`update {"state":{"reported":{"a":1}},"clientToken":"k"}`, []string{`update/rejected {"code":413,"message":"The payload exceeds the maximum size allowed","timestamp":1006,"clientToken":"k"}`}}, // together
		{`update {"state":{"desired":{"a":"` + strings.Repeat("x", 8182) + `\u00e9"}}}`, []string{`...`, `...`, `...`}},                                                                                   // two bytes, however written
		{`update {"state":{"desired":null,"reported":{"a":"` + strings.Repeat(" ", 8000) + `"}}}`, []string{`...`, `...`}},                                                                                // makes room for itself
		{`update {"state":{"reported":{"a":   null}},` + strings.Repeat(" ", 9000) + `"x":1}`, []string{`...`, `...`}},                                                                                    // space and what is ignored do not count
		{`update ` + strings.Repeat(" ", 128<<10) + `{}`, []string{`update/rejected {"code":413,"message":"The payload exceeds the maximum size allowed","timestamp":1010}`}},
	},
	"the last of two members counts": {
		{`update {"state":{"desired":{"a":1,"b":2,"a":3,"\u0062":4}},"clientToken":"x","clientToken":"y"}`, []string{
			`update/accepted {"state":{"desired":{"a":3,"b":4}},"metadata":{"desired":{"a":{"timestamp":1001},"b":{"timestamp":1001}}},"version":1,"timestamp":1001,"clientToken":"y"}`, `...`, `...`}},
	},
}

// deep is an object of so many levels with a value at its bottom.
func deep(levels int, value string) string {
	return strings.Repeat(`{"k":`, levels) + value + strings.Repeat(`}`, levels)
}

func TestConversations(t *testing.T) {
	for name, turns := range conversations {
		now := time.Unix(1000, 0)
		svc, err := shadow.New(shadow.NewMemStore(), &shadow.Options{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		b := &bus{}
		e, err := shadowmqtt.New(svc, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, turn := range turns {
			operation, payload, _ := strings.Cut(turn.request, " ")
			if operation == "name/a" { // a name with a space
				operation, payload = "name/a b/update", strings.TrimPrefix(payload, "b/update ")
			}
			now = now.Add(time.Second)
			if operation == "wait" {
				d, err := time.ParseDuration(payload)
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(d)
				continue
			}
			const base = "$aws/things/t/shadow/"
			if err := b.Publish(t.Context(), base+operation, []byte(payload)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, m := range b.messages[1:] {
				line := strings.TrimPrefix(m.topic, base) + " " + m.payload
				if i < len(turn.want) && turn.want[i] == "..." {
					line = "..."
				}
				got = append(got, line)
			}
			b.messages = nil
			if fmt.Sprint(got) != fmt.Sprint(turn.want) {
				t.Errorf("%s: %.120s\n got %s\nwant %s", name, turn.request, strings.Join(got, "\n     "), strings.Join(turn.want, "\n     "))
			}
		}
		e.Close()
	}
}
