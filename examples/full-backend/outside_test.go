package main

import (
	"encoding/json"
	"os"
	"path/filepath"
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
		rule, err := json.Marshal(map[string]any{"sql": sql, "actions": []any{map[string]any{"republish": map[string]any{"topic": "devices/s1/config", "qos": 1}}}})
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

// What nobody answers is refused when the rule is put, not when it fires.
func TestUnansweredFunctionsAreRefused(t *testing.T) {
	p := start(t)
	for _, call := range []string{"get_secret('a', 'SecretString', 'arn:aws:iam::123456789012:role/x')", "decode(*, 'proto', 'b', 'k', 'f.proto', 'T')"} {
		rule, _ := json.Marshal(map[string]any{"sql": "SELECT " + call + " AS x FROM 'a'", "actions": []any{}})
		if status, answer := p.curl("POST", "/rules/asks", string(rule)); status != 400 || !strings.Contains(answer, call[:6]) {
			t.Errorf("%s: %d %s", call, status, answer)
		}
	}
}

func TestReadSecret(t *testing.T) {
	dir := folder(t, map[string][]byte{"api": []byte(`{"key":"k1","n":1}`), "plain": []byte("x y\n"), "bin": {0, 255}, "deep/er": []byte("d"), "big": make([]byte, 64<<10+1)})
	for _, c := range []struct{ id, kind, key, want, err string }{
		{"api", "SecretString", "", `{"key":"k1","n":1}`, ""},
		{"api", "SecretString", "key", `"k1"`, ""},
		{"api", "SecretString", "other", ``, ""},
		{"arn:aws:secretsmanager:us-east-1:123456789012:secret:api", "SecretString", "n", `1`, ""},
		{"arn:aws:secretsmanager:us-east-1:123456789012:secret:api-AbC123", "SecretString", "n", `1`, ""},
		{"api-AbC123", "SecretString", "", "", "api-AbC123"},
		{"plain", "SecretString", "", `"x y"`, ""},
		{"plain", "SecretString", "key", "", "no JSON object"},
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
