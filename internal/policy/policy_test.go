package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseErrors(t *testing.T) {
	stmt := func(body string) string { return `{"Version": "2012-10-17", "Statement": [{` + body + `}]}` }
	good := `"Effect": "Allow", "Action": "iot:*", "Resource": "*"`
	for _, c := range []struct{ name, doc, path, reason string }{
		{"nothing", ``, "", "ends too early"},
		{"not an object", `[]`, "", "must be an object"},
		{"cut off", `{"Version": "2012-10-17", "Statement": [{"Effect"`, "Statement[0].Effect", "ends too early"},
		{"not JSON", `{"Version" "2012-10-17"}`, "Version", "not JSON"},
		{"something behind", stmt(good) + `{}`, "", "follows"},
		{"unknown version", `{"Version": "2013-01-01", "Statement": []}`, "Version", "must be"},
		{"no statement", `{"Version": "2012-10-17"}`, "", "Statement is missing"},
		{"empty statement", `{"Version": "2012-10-17", "Statement": []}`, "Statement", "no statement"},
		{"unknown element", `{"Version": "2012-10-17", "Statements": []}`, "Statements", "unknown element"},
		{"twice", `{"Version": "2012-10-17", "Version": "2012-10-17"}`, "", "occurs twice"},
		{"effect", stmt(`"Effect": "allow", "Action": "iot:*", "Resource": "*"`), "Statement[0].Effect", "must be"},
		{"no effect", stmt(`"Action": "iot:*", "Resource": "*"`), "Statement[0]", "Effect is missing"},
		{"no action", stmt(`"Effect": "Allow", "Resource": "*"`), "Statement[0]", "Action is missing"},
		{"no resource", stmt(`"Effect": "Allow", "Action": "iot:*"`), "Statement[0]", "Resource is missing"},
		{"both actions", stmt(good + `, "NotAction": "iot:Connect"`), "Statement[0].NotAction", "exclude"},
		{"both resources", stmt(good + `, "NotResource": "*"`), "Statement[0].NotResource", "exclude"},
		{"action without service", stmt(`"Effect": "Allow", "Action": "Publish", "Resource": "*"`), "Statement[0].Action", "not an action"},
		{"action number", stmt(`"Effect": "Allow", "Action": 1, "Resource": "*"`), "Statement[0].Action", "must be a string"},
		{"empty actions", stmt(`"Effect": "Allow", "Action": [], "Resource": "*"`), "Statement[0].Action", "no action"},
		{"resource no ARN", stmt(`"Effect": "Allow", "Action": "iot:*", "Resource": "topic/a"`), "Statement[0].Resource", "neither"},
		{"empty resource", stmt(`"Effect": "Allow", "Action": "iot:*", "Resource": ""`), "Statement[0].Resource", "empty"},
		{"open variable", stmt(`"Effect": "Allow", "Action": "iot:*", "Resource": "arn:${iot:ClientId"`), "Statement[0].Resource", "without"},
		{"unnamed variable", stmt(`"Effect": "Allow", "Action": "iot:*", "Resource": "arn:${}"`), "Statement[0].Resource", "no name"},
		{"principal", stmt(good + `, "Principal": "*"`), "Statement[0].Principal", "not part"},
		{"unknown operator", stmt(good + `, "Condition": {"StringIs": {"a": "b"}}`), "Statement[0].Condition.StringIs", "unknown operator"},
		{"null if exists", stmt(good + `, "Condition": {"NullIfExists": {"a": "true"}}`), "Statement[0].Condition.NullIfExists", "neither"},
		{"not a number", stmt(good + `, "Condition": {"NumericEquals": {"a": "x"}}`), "Statement[0].Condition.NumericEquals.a", "number"},
		{"not a date", stmt(good + `, "Condition": {"DateEquals": {"a": "x"}}`), "Statement[0].Condition.DateEquals.a", "date"},
		{"not an address", stmt(good + `, "Condition": {"IpAddress": {"a": ["10.0.0.0/8", "10.0.0.0/33"]}}`), "Statement[0].Condition.IpAddress.a", "CIDR"},
		{"not a bool", stmt(good + `, "Condition": {"Bool": {"a": "yes"}}`), "Statement[0].Condition.Bool.a", "true or false"},
		{"not base64", stmt(good + `, "Condition": {"BinaryEquals": {"a": "?"}}`), "Statement[0].Condition.BinaryEquals.a", "base64"},
		{"not an ARN", stmt(good + `, "Condition": {"ArnLike": {"a": "arn:x"}}`), "Statement[0].Condition.ArnLike.a", "ARN"},
		{"variables in an old document", `{"Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "arn:${iot:ClientId}"}}`, "", "variables need"},
		{"not UTF-8", "{\"Version\": \"\xff\"}", "", "UTF-8"},
	} {
		_, err := Parse([]byte(c.doc))
		se, ok := errors.AsType[*SyntaxError](err)
		if !ok || se.Path != c.path || !strings.Contains(se.Reason, c.reason) || se.Line != 1 || se.Column < 1 {
			t.Errorf("%s: got %v, want path %q and reason %q", c.name, err, c.path, c.reason)
		}
	}
	_, err := Parse([]byte("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\n    \"Effect\": \"Ällow\", \"Action\": 3"))
	if se, ok := errors.AsType[*SyntaxError](err); !ok || se.Line != 4 || se.Column != 15 {
		t.Errorf("position: %v", err)
	}
}

func TestConditions(t *testing.T) {
	c := &Context{ClientID: "lamp-7", SourceIP: "2001:db8::7", Thing: "lamp", Attributes: map[string]string{"n": "12", "big": "9007199254740993",
		"d": "2026-03-01T00:00:00Z", "b": "aGk=", "arn": "arn:aws:iot:eu:1:topic/a:b", "yes": "TRUE"},
		ConnectAttributes: []string{"PersistentConnect", "LastWill"}, Time: time.Unix(1_800_000_000, 0)}
	at := func(name string) string { return "iot:Connection.Thing.Attributes[" + name + "]" }
	for _, row := range []struct {
		op, key, values string
		want            bool
	}{
		{"StringEqualsIgnoreCase", "IOT:clientid", `"LAMP-7"`, true},
		{"StringNotEqualsIgnoreCase", "iot:ClientId", `"LAMP-7"`, false},
		{"StringEquals", "iot:ClientId", `"${iot:Connection.Thing.ThingName}-7"`, true},
		{"StringEquals", "iot:ClientId", `"${iot:Connection.Thing.ThingTypeName}"`, false},
		{"StringNotEquals", "iot:ClientId", `"${iot:Connection.Thing.ThingTypeName}"`, true},
		{"StringLike", "iot:ClientId", `["x", "l?mp*"]`, true},
		{"StringNotLike", "iot:ClientId", `["x", "l?mp*"]`, false},
		{"StringLike", "iot:ClientId", `"l${?}mp*"`, false},
		{"NumericEquals", at("n"), `12.0`, true},
		{"NumericLessThan", at("n"), `"12"`, false},
		{"NumericLessThanEquals", at("n"), `"12"`, true},
		{"NumericGreaterThan", at("n"), `["20", "11"]`, true},
		{"NumericGreaterThanEquals", at("n"), `13`, false},
		{"NumericNotEquals", at("n"), `["1", "2"]`, true},
		{"NumericEquals", at("big"), `9007199254740992`, false},
		{"NumericEquals", "iot:ClientId", `1`, false},
		{"DateLessThan", at("d"), `"2026-03-01T01:00:00+00:30"`, true},
		{"DateEquals", at("d"), `"2026-03"`, true},
		{"DateGreaterThan", "aws:CurrentTime", `"2026-01-01T00:00:00Z"`, true},
		{"DateLessThanEquals", "aws:EpochTime", `1800000000`, true},
		{"NumericGreaterThan", "aws:EpochTime", `1800000000`, false},
		{"Bool", at("yes"), `true`, true},
		{"Bool", "iot:Connection.Thing.IsAttached", `"false"`, true},
		{"BinaryEquals", at("b"), `"aGk="`, true},
		{"IpAddress", "aws:SourceIp", `["10.0.0.0/8", "2001:db8::/32"]`, true},
		{"NotIpAddress", "aws:SourceIp", `"2001:db8::7"`, false},
		{"ArnLike", at("arn"), `"arn:aws:iot:*:1:topic/*"`, true},
		{"ArnEquals", at("arn"), `"arn:aws:*:topic/*:*:*"`, false},
		{"ArnNotLike", at("arn"), `"arn:aws:iot:eu:2:*"`, true},
		{"ArnLike", at("arn"), `"arn:*:*:*:*:topic/${iot:ClientId}"`, false},
		{"Null", "iot:ClientId", `"true"`, false},
		{"Null", "iot:ClientId", `false`, true},
		{"Null", "iot:NoSuchKey", `"true"`, true},
		{"Null", "iot:ConnectAttributes", `"false"`, true},
		{"StringEquals", "iot:NoSuchKey", `"x"`, false},
		{"StringNotEquals", "iot:NoSuchKey", `"x"`, true},
		{"StringEqualsIfExists", "iot:NoSuchKey", `"x"`, true},
		{"StringEqualsIfExists", "iot:ClientId", `"x"`, false},
		{"ForAllValues:StringEquals", "iot:ConnectAttributes", `["LastWill", "PersistentConnect", "x"]`, true},
		{"ForAllValues:StringNotEquals", "iot:ConnectAttributes", `"LastWill"`, false},
		{"ForAnyValue:StringNotEquals", "iot:ConnectAttributes", `"LastWill"`, true},
		{"ForAnyValue:StringLike", "iot:ConnectAttributes", `"*Will"`, true},
		{"ForAnyValue:StringEquals", "iot:NoSuchKey", `"x"`, false},
		{"StringEquals", "iot:ConnectAttributes", `"LastWill"`, true},
		{"StringNotEquals", "iot:ConnectAttributes", `"LastWill"`, false},
	} {
		text := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {%q: {%q: %s}}}}`,
			row.op, row.key, row.values)
		doc, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%+v: %v", row, err)
			continue
		}
		d := NewSet(Policy{Doc: doc}).Decide(&Request{Action: "iot:X", Resource: "arn:x", Context: c})
		if got := d.Effect == Allow; got != row.want {
			t.Errorf("%+v: got %v", row, got)
		}
	}
}

func TestUnresolvedVariables(t *testing.T) {
	for _, c := range []struct {
		effect, element string
		want            Effect
	}{
		{"Allow", "Resource", ImplicitDeny},
		{"Deny", "Resource", ImplicitDeny},
		{"Allow", "NotResource", ImplicitDeny},
		{"Deny", "NotResource", ExplicitDeny},
	} {
		doc, err := Parse(fmt.Appendf(nil, `{"Version": "2012-10-17", "Statement": {"Effect": %q, "Action": "iot:*", %q: "arn:${iot:ClientId}/*"}}`, c.effect, c.element))
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range []string{"arn:x/y", "arn:${iot:ClientId}/y"} {
			if d := NewSet(Policy{Doc: doc}).Decide(&Request{Action: "iot:Publish", Resource: resource}); d.Effect != c.want {
				t.Errorf("%s %s on %s: got %d, want %d", c.effect, c.element, resource, d.Effect, c.want)
			}
		}
	}
}

// Certificate attributes with several values, and with characters that mean
// something elsewhere.
func TestCertificateValues(t *testing.T) {
	c := &Context{Certificate: &Certificate{ID: "c0ffee", SerialNumber: "7f", Values: map[string][]string{
		"Subject.CommonName":         {"one", "two", "three", "four", "five", "six"},
		"Subject.Organization":       {`Lamps, "Light" \ + Co; <x>=y`},
		"Subject.Country":            {"a*b"},
		"Subject.State":              {"$x"},
		"Subject.Title":              {"a+b"},
		"Subject.Surname":            {"a?b"},
		"Subject.GivenName":          {"a#b"},
		"Subject.Initials":           {strings.Repeat("ä", 1024)},
		"Subject.Pseudonym":          {strings.Repeat("ä", 1025)},
		"Issuer.CommonName":          {"ca"},
		"Subject.OrganizationalUnit": {"a.b [c] (d)"},
	}}}
	c.Certificate.SetKeys()
	for _, row := range []struct {
		statement string // what follows the action
		resource  string // the end
		want      bool
	}{
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName}"`, "one", true},
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName.1}"`, "two", true},
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName.4}"`, "five", true},
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName.5}"`, "six", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName.0}"`, "one", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName.+1}"`, "two", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.CommonName.List}"`, "one", false},
		{`"Resource": "arn:x/${iot:certificate.issuer.commonname}"`, "ca", true},
		{`"Resource": "arn:x/${iot:CertificateId}/${iot:Certificate.SerialNumber}"`, "c0ffee/7f", true},
		{`"Resource": "arn:x/${iot:Certificate.Subject.Organization}"`, `Lamps, "Light" \ + Co; <x>=y`, false}, // has a plus
		{`"Resource": "arn:x/${iot:Certificate.Subject.OrganizationalUnit}"`, "a.b [c] (d)", true},
		{`"Resource": "arn:x/${iot:Certificate.Subject.Country}"`, "a*b", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.State}"`, "$x", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.Title}"`, "a+b", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.Surname}"`, "a?b", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.GivenName}"`, "a#b", false},
		{`"Resource": "arn:x/${iot:Certificate.Subject.Initials}"`, strings.Repeat("ä", 1024), true},
		{`"Resource": "arn:x/${iot:Certificate.Subject.Pseudonym}"`, strings.Repeat("ä", 1025), false},
		{`"Resource": "*", "Condition": {"StringEquals": {"iot:Certificate.Subject.CommonName": "two"}}`, "", false},
		{`"Resource": "*", "Condition": {"StringEquals": {"iot:Certificate.Subject.CommonName.1": "two"}}`, "", true},
		{`"Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"iot:Certificate.Subject.CommonName.List": "three"}}`, "", true},
		{`"Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"iot:Certificate.Subject.CommonName.List": "six"}}`, "", false},
		{`"Resource": "*", "Condition": {"ForAllValues:StringEquals": {"iot:Certificate.Subject.CommonName.List": ["one", "two", "three", "four"]}}`, "", false},
		{`"Resource": "*", "Condition": {"ForAllValues:StringEquals": {"iot:Certificate.Subject.CommonName.List": ["five", "one", "two", "three", "four"]}}`, "", true},
		{`"Resource": "*", "Condition": {"StringEquals": {"iot:Certificate.Subject.Organization": "Lamps\\, \\\"Light\\\" \\\\ \\+ Co\\; \\<x\\>\\=y"}}`, "", true},
		{`"Resource": "*", "Condition": {"StringEquals": {"iot:Certificate.Subject.Country": "a*b"}}`, "", true},
		{`"Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.Subject.Country"}}`, "", true},
		{`"Resource": "*", "Condition": {"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.Issuer.Country"}}`, "", false},
		{`"Resource": "*", "Condition": {"Null": {"iot:Certificate.Issuer.Country": "true"}}`, "", true},
		{`"Resource": "*", "Condition": {"Null": {"iot:Certificate.Subject.CommonName.List": "false"}}`, "", true},
	} {
		doc, err := Parse([]byte(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish", ` + row.statement + `}}`))
		if err != nil {
			t.Errorf("%s: %v", row.statement, err)
			continue
		}
		d := NewSet(Policy{Doc: doc}).Decide(&Request{Action: "iot:Publish", Resource: "arn:x/" + row.resource, Context: c})
		if got := d.Effect == Allow; got != row.want {
			t.Errorf("%s on %.40s: got %v", row.statement, row.resource, got)
		}
	}
}

func TestDecisionNamesTheStatement(t *testing.T) {
	parse := func(s string) *Document {
		d, err := Parse([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a := parse(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
		{"Sid": "s", "Effect": "Allow", "Action": "IOT:pub*", "Resource": "*"}]}`)
	b := parse(`{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "NotAction": "iot:Publish", "Resource": "*"}}`)
	set := NewSet(Policy{"a", "3", a}, Policy{"b", "1", b})
	if d := set.Decide(&Request{Action: "iot:Publish", Resource: "arn:x"}); d != (Decision{Allow, "a", "3", 1, "s"}) {
		t.Errorf("publish: %+v", d)
	}
	if d := set.Decide(&Request{Action: "iot:Connect", Resource: "arn:x"}); d != (Decision{ExplicitDeny, "b", "1", 0, ""}) {
		t.Errorf("connect: %+v", d)
	}
	if all := set.All(&Request{Action: "iot:Connect", Resource: "arn:x"}); len(all) != 2 || all[0].Effect != Allow || all[1].Effect != ExplicitDeny {
		t.Errorf("all: %+v", all)
	}
}

// naive matches as the definition says, by trying everything.
func naive(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return naive(p[1:], s) || len(s) > 0 && naive(p, s[1:])
	case len(s) > 0 && (p[0] == '?' || p[0] == s[0]):
		return naive(p[1:], s[1:])
	}
	return false
}

func TestPatternAgreesWithNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(letters string, n int) string {
		runes := []rune(letters)
		out := make([]rune, rng.IntN(n))
		for i := range out {
			out[i] = runes[rng.IntN(len(runes))]
		}
		return string(out)
	}
	matches := 0
	for range 200_000 {
		p, s := random("aab*?/ü", 8), random("aab/ü*", 9)
		pat, err := compile(p, wildcards)
		if err != nil {
			t.Fatal(err)
		}
		want := naive([]rune(p), []rune(s))
		if got := pat.match(s, &noContext); got != want {
			t.Fatalf("pattern %q on %q: got %v, want %v", p, s, got, want)
		}
		if want {
			matches++
		}
	}
	if matches < 10_000 {
		t.Errorf("only %d matches: the test says little", matches)
	}
}

// TestVariablesAreLiteral: a substituted text matches itself and nothing else.
func TestVariablesAreLiteral(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		letters := []byte("ab*?$")
		id := make([]byte, 1+rng.IntN(4))
		other := make([]byte, len(id))
		for i := range id {
			id[i], other[i] = letters[rng.IntN(len(letters))], letters[rng.IntN(len(letters))]
		}
		c := &Context{ClientID: string(id)}
		pat, err := compile("x/*${iot:ClientId}?${iot:ClientId}", wildcards)
		if err != nil {
			t.Fatal(err)
		}
		if s := "x/yy" + c.ClientID + "-" + c.ClientID; !pat.match(s, c) {
			t.Fatalf("client %q does not match %q", id, s)
		}
		if s := "x/" + string(other) + "-" + string(other); string(other) != string(id) && !strings.HasSuffix(string(other), string(id)) && pat.match(s, c) {
			t.Fatalf("client %q matches %q", id, s)
		}
	}
}

// TestPathologicalPatterns: what is exponential or cubic elsewhere ends here.
func TestPathologicalPatterns(t *testing.T) {
	text := strings.Repeat("a", 50_000)
	for _, p := range []string{strings.Repeat("*a", 900) + "b", strings.Repeat("*", 2000) + "b", strings.Repeat("?*", 1000) + "b", "*" + strings.Repeat("a", 1000) + "b*"} {
		pat, err := compile(p, wildcards)
		if err != nil {
			t.Fatal(err)
		}
		if pat.match(text, &noContext) {
			t.Errorf("%.20q... matches", p)
		}
		if glob(p[:min(len(p), 100)]+"b", text[:2000]) {
			t.Errorf("%.20q... matches as an action", p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "arn:aws:iot:*:*:topic/${iot:ClientId}/*", "Condition": {"StringLike": {"iot:ClientId": ["a*"]}}}]}`, "iot:Publish", "arn:aws:iot:a:b:topic/x/y")
	f.Add(`{"Statement": {"Effect": "Deny", "NotAction": ["a:b"], "NotResource": "*"}}`, "a:b", "*")
	f.Add(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"ForAllValues:ArnLike": {"iot:ConnectAttributes": "a:b:c:d:e:${iot:ClientId}"}, "Null": {"x": true}}}}`, "x:y", "")
	f.Fuzz(func(t *testing.T, doc, action, resource string) {
		d, err := Parse([]byte(doc))
		if err != nil {
			se, ok := errors.AsType[*SyntaxError](err)
			if !ok || se.Line < 1 || se.Column < 1 || se.Reason == "" {
				t.Fatalf("error without a place: %#v", err)
			}
			return
		}
		if !utf8.ValidString(doc) || d.Statements() == 0 {
			t.Fatal("accepted")
		}
		c := &Context{ClientID: "c*", Thing: "t", SourceIP: "::1", ConnectAttributes: []string{"LastWill"}, Time: time.Unix(0, 1)}
		set := NewSet(Policy{Doc: d})
		req := &Request{Action: action, Resource: resource, Context: c}
		got := set.Decide(req)
		want := ImplicitDeny
		for _, one := range set.All(req) {
			if one.Effect == ExplicitDeny || want == ImplicitDeny {
				want = one.Effect
			}
		}
		if got.Effect != want {
			t.Fatalf("Decide says %d, All says %d", got.Effect, want)
		}
		set.Missing(action, c)
	})
}

func BenchmarkDecide(b *testing.B) {
	doc, err := Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}"},
		{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": "arn:aws:iot:us-east-1:123456789012:topic/sensors/${iot:ClientId}/*"},
		{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:us-east-1:123456789012:topicfilter/sensors/${iot:ClientId}/*"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	set := NewSet(Policy{Name: "p", Version: "1", Doc: doc})
	req := &Request{Action: "iot:Publish", Resource: "arn:aws:iot:us-east-1:123456789012:topic/sensors/lamp-7/climate",
		Context: &Context{ClientID: "lamp-7", Thing: "lamp-7"}}
	b.ReportAllocs()
	for b.Loop() {
		if set.Decide(req).Effect != Allow {
			b.Fatal("denied")
		}
	}
}
