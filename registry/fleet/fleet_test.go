package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/vectors"
)

// vectorThing is a document of the vectors.
type vectorThing struct {
	ThingName, ThingID, ThingTypeName string
	ThingGroupNames                   []string
	Attributes                        map[string]string
	Shadow, DeviceDefender            json.RawMessage
	Connectivity                      *Connectivity
}

func TestVectorsIndex(t *testing.T) {
	vectors.Run(t, "index", nil, func(v vectors.Vector) error {
		var in struct {
			Things []vectorThing
			Query  string
			Want   []string
		}
		if err := json.Unmarshal(v.Raw, &in); err != nil {
			return err
		}
		q, err := Parse(in.Query)
		if err != nil {
			return err
		}
		got := []string{}
		for _, th := range in.Things {
			d := NewDocument(Thing{Name: th.ThingName, ID: th.ThingID, Type: th.ThingTypeName, Groups: th.ThingGroupNames,
				Attributes: th.Attributes, Shadow: th.Shadow, Defender: th.DeviceDefender, Connectivity: th.Connectivity})
			if q.Match(d) {
				got = append(got, th.ThingName)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, in.Want) {
			return fmt.Errorf("got %q, want %q", got, in.Want)
		}
		return nil
	})
}

func TestMatch(t *testing.T) {
	d := NewDocument(Thing{Name: "Truck-1", Type: "Truck", Groups: []string{"north"},
		Attributes: map[string]string{"fw": "1.4.0", "payload": "1200", "mac": "aa:bb", "v": "1.0"},
		Shadow: json.RawMessage(`{"reported": {"speed": 88.5, "t": -5, "big": 1e400, "alarms": ["oil", "Belt 2"], "mixed": [1, {"a": 2}], "note": "needs oil change",
			"deep": {"a": {"b": [true, 3]}}, "nothing": null, "nulls": [1, null]}, "version": 7, "name": {"cfg": {"desired": {"mode": "Eco*"}, "version": 3}}}`),
		Defender:     json.RawMessage(`{"violationCount": 2, "p": {"b": {"inViolation": true}}}`),
		Connectivity: &Connectivity{Connected: true, DisconnectReason: "NONE"}})
	for query, want := range map[string]bool{
		`thingName:truck\-1`:                                     true,
		`thingName:truck-1`:                                      true,
		`thingname:truck-1`:                                      false,
		`thingName:truck`:                                        false,
		`shadow.reported.note:oil`:                               true,
		`shadow.reported.note:"oil change"`:                      true,
		`shadow.reported.note:"oil  CHANGE"`:                     true,
		`shadow.reported.note:"oil chan"`:                        false,
		`shadow.reported.note:chan*`:                             true,
		`shadow.reported.note:*ang?`:                             true,
		`shadow.reported.t:-5`:                                   true,
		`shadow.reported.t:-5.0`:                                 true,
		`shadow.reported.t<0`:                                    true,
		`shadow.reported.t:[* TO -5]`:                            true,
		`shadow.reported.t:[* TO -5}`:                            false,
		`shadow.reported.t:[* TO *]`:                             true,
		`shadow.reported.nothing:*`:                              false,
		`shadow.reported.nulls:*`:                                false,
		`shadow.reported.mixed:1`:                                false,
		`shadow.reported.deep.a.b:(true 3)`:                      true,
		`shadow.reported.alarms:"belt 2"`:                        true,
		`shadow.reported.big>1`:                                  false,
		`shadow.reported.version:7`:                              false,
		`shadow.version:7`:                                       false,
		`shadow.name.cfg.version:3`:                              false,
		`shadow.name.cfg.desired.mode:eco\*`:                     true,
		`shadow.name.cfg.desired.mode:eco\**`:                    true,
		`shadow.name.cfg.desired.mode:e\*`:                       false,
		`attributes.fw>=1.4`:                                     false,
		`attributes.fw:["1.4" TO "1.5"]`:                         true,
		`attributes.fw:[1.4.0 TO 1.4.0]`:                         true,
		`attributes.fw:{1.4.0 TO 1.5.0}`:                         false,
		`attributes.payload:1.2e3`:                               true,
		`attributes.v:1`:                                         true,
		`attributes.mac:aa\:bb`:                                  true,
		`attributes.mac:"AA:BB"`:                                 true,
		`north`:                                                  true,
		`none`:                                                   false, // connectivity is not searched without its name
		`connectivity.disconnectReason:none`:                     true,
		`2`:                                                      true,
		`deviceDefender.violationCount:[1 TO 3]`:                 true,
		`deviceDefender.p.b.inViolation:true`:                    true,
		`NOT attributes.nosuch:x`:                                true,
		`NOT NOT thingTypeName:Truck`:                            true,
		`-thingTypeName:Truck`:                                   false,
		`thingTypeName:Van OR thingTypeName:Truck north`:         true,
		`(thingTypeName:Truck OR thingTypeName:Van) south`:       false,
		`thingTypeName:Truck OR north AND south`:                 true,
		`thingTypeName:(van OR (truck AND NOT bus))`:             true,
		`thingTypeName : truck AND shadow.reported.speed > 88.4`: true,
		`*`:            true,
		`NOT *`:        false,
		`ANDROID`:      false,
		`thingName:?*`: true,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := q.Match(d); got != want {
			t.Errorf("%s: got %v", query, got)
		}
	}
	g := NewGroupDocument(Group{Name: "g", Description: "the north", Parents: []string{"a", "b"}, Attributes: map[string]string{"n": "1"}})
	for _, query := range []string{"thingGroupName:g", "parentGroupNames:b", "description:north", "attributes.n<2"} {
		if q, err := Parse(query); err != nil || !q.Match(g) {
			t.Errorf("group: %s: %v", query, err)
		}
	}
}

// What the language says of words, numbers and deltas at its edges.
func TestEdges(t *testing.T) {
	d := NewDocument(Thing{Name: "t", Attributes: map[string]string{"serial": "9007199254740993", "zero": "-0"},
		Shadow: json.RawMessage(`{"desired": {"mode": "eco", "n": {"a": 1, "b": [1, 2]}, "gone": {"x": 1}}, "reported": {"mode": "sport", "n": {"a": 1.0, "b": [2, 1]},
			"note": "needs\u2003oil\u00a0change now", "id": 9007199254740993, "top": 9007199254740992, "ns": 1.7e18, "low": -9007199254740993},
			"name": {"$package": {"desired": {"v": "1.0.0"}, "hasDelta": true}, "a:b-c_$": {"desired": {"v": 1}, "reported": {"v": 2}, "delta": {"v": 7}}, "same": {"desired": {"v": 1}, "hasDelta": false}}}`)})
	for query, want := range map[string]bool{
		`shadow.reported.note:oil\ change`:             false, // a space that does not break is none
		"shadow.reported.note:oil\u00a0change":         true,
		`shadow.reported.note:change`:                  false,
		`shadow.reported.note:needs\ oil*`:             false, // a word has no space
		"shadow.reported.note:needs\\ oil\u00a0change": true,  // words in a row
		`shadow.reported.note:now\ needs`:              false,
		`shadow.reported.note:\ now\ `:                 true,

		`shadow.reported.id:9007199254740993`:  true, // as a word
		`shadow.reported.id:9007199254740992`:  false,
		`shadow.reported.id>0`:                 false,
		`shadow.reported.low<0`:                false,
		`shadow.reported.top>0`:                true,
		`shadow.reported.top:9007199254740992`: true,
		`shadow.reported.ns>0`:                 true,
		`attributes.serial>0`:                  false,
		`attributes.serial:9007199254740993`:   true,
		`attributes.zero:0`:                    true,
		`attributes.zero:[0 TO 0]`:             true,
		`attributes.zero:{0 TO *]`:             false,

		`shadow.delta.mode:eco`:               true,
		`shadow.delta.mode:sport`:             false,
		`shadow.delta.n.a:*`:                  false,
		`shadow.delta.n.b:2`:                  true,
		`shadow.delta.gone.x:1`:               true,
		`shadow.name.$package.delta.v:1.0.0`:  true,
		`shadow.name.a\:b-c_$.delta.v:7`:      true, // where it is given it is not worked out
		`shadow.name.a\:b-c_$.delta.v:1`:      false,
		`shadow.name.a\:b-c_$.reported.v > 1`: true,
		`shadow.name.same.delta.v:*`:          false,
		`NOT shadow.name.same.delta.v:*`:      true,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := q.Match(d); got != want {
			t.Errorf("%s: got %v", query, got)
		}
	}
}

// Equal numbers are written alike, and as people mostly write them.
func TestCanonical(t *testing.T) {
	for f, want := range map[float64]string{0: "0", math.Copysign(0, -1): "0", 12: "12", -5.5: "-5.5", 1e20: "100000000000000000000", 1e21: "1e+21",
		1e-6: "0.000001", 5e-324: "5e-324", 1 << 53: "9007199254740992"} {
		if got := Canonical(f); got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
		if n, ok := number(Canonical(f)); !ok || n != f {
			t.Errorf("%v: %s is read as %v, %v", f, Canonical(f), n, ok)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for query, want := range map[string]struct {
		column int
		reason string
	}{
		``:                               {1, "ends"},
		`a:`:                             {3, "ends"},
		`a AND`:                          {6, "ends"},
		`AND a`:                          {1, "AND where"},
		`a OR OR b`:                      {6, "OR where"},
		`(a`:                             {1, "not closed"},
		`ü (a`:                           {3, "not closed"},
		`a)`:                             {2, "not expected"},
		`a:"b`:                           {3, "not closed"},
		`a:""`:                           {3, "empty phrase"},
		`a:\ `:                           {3, "spaces alone"},
		`a:[1 TO 2`:                      {3, "not closed"},
		`a:[1 2]`:                        {6, "TO is expected"},
		`a:[1* TO 2]`:                    {4, "no wildcard"},
		`a<*`:                            {3, "needs a value"},
		`a:b:c`:                          {4, "within a term"},
		`a*:b`:                           {1, "no wildcard"},
		`a:(b c:d)`:                      {7, "a field within"},
		`a:b~`:                           {4, "not supported"},
		`a:"b c"~2`:                      {8, "not supported"},
		`a:b^2`:                          {4, "not supported"},
		`a\`:                             {2, "backslash"},
		`:a`:                             {1, "where a term"},
		`*a *b`:                          {4, "second term"},
		`a b c d e f g h i j k l m`:      {26, "13 terms"},
		`*a ` + strings.Repeat("b", 100): {1, "at most 100 characters"},
		strings.Repeat("(", 200):         {101, "nested deeper"},
		"a\xff":                          {1, "UTF-8"},
		strings.Repeat("a", 20<<10):      {1, "bytes"},
	} {
		_, err := Parse(query)
		se, ok := errors.AsType[*SyntaxError](err)
		if text := fmt.Sprint(err); len(text) > 600 {
			t.Errorf("%.40q: %d bytes of error", query, len(text))
		}
		if !ok || se.Column != want.column || !strings.Contains(se.Reason, want.reason) {
			t.Errorf("%.40q: got %v, want column %d: %s", query, err, want.column, want.reason)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`a:b AND (c OR -d) NOT e:[1 TO *}`, `x:"y z" *`, `a<=-5 b>"q"`, `t:(a* AND -b?)`, `\:\*`} {
		f.Add(s, `{"reported":{"a":"b","n":[1,"x y"]}}`)
	}
	f.Fuzz(func(t *testing.T, query, shadow string) {
		q, err := Parse(query)
		if err != nil {
			se, ok := errors.AsType[*SyntaxError](err)
			if !ok || se.Column < 1 || se.Reason == "" {
				t.Fatalf("error without a place: %#v", err)
			}
			return
		}
		d := NewDocument(Thing{Name: "a", Attributes: map[string]string{"b": "1"}, Shadow: json.RawMessage(shadow)})
		got := q.Match(d)
		if q.MatchThing(Thing{Name: "a", Attributes: map[string]string{"b": "1"}, Shadow: json.RawMessage(shadow)}) != got {
			t.Fatalf("%q: what it asks for does not decide", query)
		}
		if n, err := Parse("NOT (" + query + ")"); err == nil && n.Match(d) == got {
			t.Fatalf("%q and its negation agree", query)
		}
	})
}
