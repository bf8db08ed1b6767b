package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// folder makes files, by their names below it.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Statements ask for secrets and predictions.
func TestRuleAsksOutside(t *testing.T) {
	secrets := folder(t, map[string][]byte{"api": []byte(`{"key":"k1"}` + "\n")})
	p := start(t, "-secrets", secrets)
	d := p.device("s1")
	const role = `'arn:aws:iam::123456789012:role/x'`
	for name, sql := range map[string]string{
		"asks": "SELECT get_secret('api', 'SecretString', 'key', " + role + ") AS key, machinelearning_predict('check-config', " + role + ", *) AS p FROM 'sensors/s1/climate'",
	} {
		rule, err := json.Marshal(map[string]any{"sql": sql, "actions": []any{map[string]any{"republish": map[string]any{"topic": "devices/s1/config", "qos": 1, "roleArn": "arn:aws:iam::123456789012:role/x"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := p.curl("POST", "/rules/"+name, string(rule)); status != 200 {
			t.Fatalf("%s: %d %s", name, status, answer)
		}
	}
	got := d.sub("devices/s1/config")
	d.mustPub("sensors/s1/climate", `{"intervalSeconds":5}`)
	if line := next(t, got); line != `devices/s1/config {"key":"k1","p":{"intervalSeconds":5}}` {
		t.Errorf("got %s", line)
	}
}

// Statements ask the function runtime, the shadows and the registry.
func TestRuleAsksWithin(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	if status, answer := p.curl("PUT", "/devices/s1/config", `{"intervalSeconds":7}`); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	const role = `'arn:aws:iam::123456789012:role/x'`
	got := d.sub("devices/s1/asked/#")
	for name, sql := range map[string]string{
		"lambda": "SELECT aws_lambda('arn:aws:lambda:us-east-1:1:function:check-config', {'intervalSeconds': 5}) AS r FROM 'sensors/s1/x'",
		"shadow": "SELECT get_thing_shadow('s1', " + role + ").state.desired AS r FROM 'sensors/s1/x'",
		"thing":  "SELECT VALUE get_registry_data('DescribeThing', topic(2), " + role + ") FROM 'sensors/s1/x'",
		"groups": "SELECT VALUE get_registry_data('ListThingGroupsForThing', topic(2), " + role + ") FROM 'sensors/s1/x'",
	} {
		rule, err := json.Marshal(map[string]any{"sql": sql, "actions": []any{map[string]any{"republish": map[string]any{"topic": "devices/s1/asked/" + name, "roleArn": "arn:aws:iam::123456789012:role/x"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := p.curl("POST", "/rules/"+name, string(rule)); status != 200 {
			t.Fatalf("%s: %d %s", name, status, answer)
		}
	}
	d.mustPub("sensors/s1/x", `{}`)
	answers := map[string]string{}
	for range 4 {
		topic, payload, _ := strings.Cut(next(t, got), " ")
		answers[strings.TrimPrefix(topic, "devices/s1/asked/")] = payload
	}
	var thing thingDescription
	if err := json.Unmarshal([]byte(answers["thing"]), &thing); err != nil || thing.Name != "s1" || thing.ClientID != "s1" || thing.Version < 1 ||
		len(thing.ID) != 36 || !strings.HasSuffix(thing.ARN, ":thing/s1") || thing.Attributes == nil {
		t.Errorf("DescribeThing is %s, %v", answers["thing"], err)
	}
	delete(answers, "thing")
	if len(answers) != 3 || answers["lambda"] != `{"r":{"intervalSeconds":5}}` || answers["shadow"] != `{"r":{"config":{"intervalSeconds":7}}}` || answers["groups"] != `{"thingGroups":[]}` {
		t.Errorf("got %v", answers)
	}
}

// Templates of actions see the properties of the message, as statements do.
func TestTemplatesSeeProperties(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	rule := `{"sql":"SELECT get_mqtt_property('content_type') AS type FROM 'sensors/s1/x'","actions":[{"republish":
		{"topic":"devices/s1/${get(get_user_properties('to'), 1)}/${get_mqtt_property('format_indicator')}/${decode(get_mqtt_property('correlation_data'), 'base64')}",` + roleARN + `}}]}`
	if status, answer := p.curl("POST", "/rules/props", rule); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	got := d.sub("devices/s1/#")
	if out, err := d.pub("sensors/s1/x", "{}", "-V", "5", "-D", "publish", "content-type", "text/x", "-D", "publish", "user-property", "to", "a",
		"-D", "publish", "user-property", "to", "b", "-D", "publish", "correlation-data", "c7", "-D", "publish", "payload-format-indicator", "1"); err != nil {
		t.Fatal(err, out)
	}
	if line := next(t, got); line != `devices/s1/b/UTF8_DATA/c7 {"type":"text/x"}` {
		t.Errorf("got %s", line)
	}
}

// Rules as AWS has them: its names of actions, its parameters, roles and all.
func TestActionsOfAWS(t *testing.T) {
	posted := newReceiver(t)
	p := start(t)
	d := p.device("s1")
	const role = `"roleArn":"arn:aws:iam::123456789012:role/x"`
	rule := `{"sql":"SELECT temperature FROM 'sensors/+/x'","awsIotSqlVersion":"2016-03-23","actions":[
		{"republish":{"topic":"devices/${topic(2)}/out","qos":1,"headers":{"payloadFormatIndicator":"UTF8_DATA","contentType":"application/json","responseTopic":"r/${topic(2)}",
			"correlationData":"${encode(topic(2), 'base64')}","messageExpiry":"60","userProperties":[{"key":"thing","value":"${topic(2)}"}]},` + role + `}},
		{"http":{"url":"` + posted.url + `/in","headers":[{"key":"X-Thing","value":"${topic(2)}"}]}},
		{"dynamoDB":{"tableName":"readings","hashKeyField":"thing","hashKeyType":"STRING","hashKeyValue":"${topic(2)}","rangeKeyField":"n","rangeKeyType":"NUMBER","rangeKeyValue":"${n}",` + role + `}},
		{"lambda":{"functionArn":"arn:aws:lambda:us-east-1:123456789012:function:check-config:prod"}}]}`
	if status, answer := p.curl("POST", "/rules/aws", rule); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	flags := append(d.flags(), "-V", "5")
	got := p.subFormat(flags, "%t %p Q%q F%F C%C R%R D%D E%E P%P", "devices/s1/#")
	d.mustPub("sensors/s1/x", `{"temperature":21.50,"n":7}`)
	if line := next(t, got); !regexp.MustCompile(`^devices/s1/out \{"temperature":21.50\} Q1 F1 Capplication/json Rr/s1 Ds1 E(60|59) Pthing:s1 ?$`).MatchString(line) {
		t.Errorf("republished %s", line)
	}
	if body := next(t, posted.bodies); body != `{"temperature":21.50}` {
		t.Errorf("posted %s", body)
	}
	p.eventually("the item is in the table", func() error {
		if _, answer := p.curl("GET", "/tables/readings/s1", ""); !strings.Contains(answer, `"payload":{"temperature":21.50}`) {
			return errors.New(answer)
		}
		return nil
	})
	p.eventually("the function was invoked", func() error {
		if _, answer := p.curl("GET", "/api/stats", ""); !strings.Contains(answer, `"check-config":{"Invoked":1`) {
			return errors.New(answer)
		}
		return nil
	})
}

// Templates speak the language of their rule: its variables, and its functions that ask the outside.
func TestTemplatesAsk(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	put := func(name, action string) (int, string) {
		return p.curl("POST", "/rules/"+name, `{"sql":"SET @t = topic(2) SELECT 1 AS x FROM 'sensors/+/x'","actions":[{"republish":{"topic":"devices/${@t}/`+action+`",`+roleARN+`}}]}`)
	}
	if status, answer := put("asks", "${get_registry_data('DescribeThing', @t, 'arn:aws:iam::123456789012:role/x').thingName}"); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := put("wrong", "${@other}"); status != 400 || !strings.Contains(answer, "@other is not declared") {
		t.Errorf("%d %s", status, answer)
	}
	got := d.sub("devices/s1/#")
	d.mustPub("sensors/s1/x", "{}")
	if line := next(t, got); line != `devices/s1/s1 {"x":1}` {
		t.Errorf("got %s", line)
	}
}

// What nobody answers is refused when the rule is put, not when it fires.
func TestUnansweredFunctionsAreRefused(t *testing.T) {
	p := start(t)
	for call, missing := range map[string]string{"get_secret('a', 'SecretString', 'arn:aws:iam::123456789012:role/x')": "Funcs.Secret",
		"decode(*, 'proto', 'b', 'k', 'f.proto', 'T')": "contrib/rulesproto"} {
		rule, _ := json.Marshal(map[string]any{"sql": "SELECT " + call + " AS x FROM 'a'", "actions": []any{}})
		if status, answer := p.curl("POST", "/rules/asks", string(rule)); status != 400 || !strings.Contains(answer, call[:6]) || !strings.Contains(answer, missing) {
			t.Errorf("%s: %d %s", call, status, answer)
		}
	}
}

func TestReadSecret(t *testing.T) {
	dir := folder(t, map[string][]byte{"api": []byte(`{"key":"k1","n":1}`), "plain": []byte("x y\n"), "bin": {0, 255}, "deep/er": []byte("d"), "big": make([]byte, 64<<10+1),
		"digits": []byte("0012\n"), "number": []byte("1e3\n"), "quoted": []byte(`"q"`), "word": []byte("true"), "list": []byte(` [1, "a"]`), "open": []byte("{not JSON")})
	for _, c := range []struct{ id, kind, key, want, err string }{
		{"api", "SecretString", "", `{"key":"k1","n":1}`, ""},
		{"api", "SecretString", "key", `"k1"`, ""},
		{"api", "SecretString", "other", ``, ""},
		{"arn:aws:secretsmanager:us-east-1:123456789012:secret:api", "SecretString", "n", `1`, ""},
		{"arn:aws:secretsmanager:us-east-1:123456789012:secret:api-AbC123", "SecretString", "n", `1`, ""},
		{"api-AbC123", "SecretString", "", "", "api-AbC123"},
		{"plain", "SecretString", "", `"x y"`, ""},
		{"plain", "SecretString", "key", "", "no JSON object"},
		{"digits", "SecretString", "", `"0012"`, ""},
		{"number", "SecretString", "", `"1e3"`, ""},
		{"number", "SecretString", "key", "", "no JSON object"},
		{"quoted", "SecretString", "", `"\"q\""`, ""},
		{"word", "SecretString", "", `"true"`, ""},
		{"list", "SecretString", "", ` [1, "a"]`, ""},
		{"list", "SecretString", "key", "", "no JSON object"},
		{"open", "SecretString", "", `"{not JSON"`, ""},
		{"bin", "SecretBinary", "", `"AP8="`, ""},
		{"bin", "SecretBinary", "key", "", "key of a SecretBinary"},
		{"deep/er", "SecretString", "", `"d"`, ""},
		{"../" + filepath.Base(dir) + "/api", "SecretString", "", "", "escapes"},
		{"none", "SecretString", "", "", "none"},
		{"big", "SecretString", "", "", "larger than"},
	} {
		got, err := readSecret(dir, c.id, c.kind, c.key)
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %s %q: %s, %v", c.id, c.kind, c.key, got, err)
		}
	}
}
