package sql

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A signature is a function as the specification lists it: how many arguments,
// the first version, a call that has a value.
type signature struct {
	min, max int // max -1: any number
	since    string
	call     string
}

const v15, v16 = Version2015, Version2016

var signatures = map[string]signature{
	"abs": {1, 1, v15, "abs(1)"}, "acos": {1, 1, v15, "acos(1)"}, "asin": {1, 1, v15, "asin(1)"}, "atan": {1, 1, v15, "atan(1)"},
	"atan2": {2, 2, v15, "atan2(1, 2)"}, "bitand": {2, 2, v15, "bitand(1, 2)"}, "bitor": {2, 2, v15, "bitor(1, 2)"},
	"bitxor": {2, 2, v15, "bitxor(1, 2)"}, "bitnot": {1, 1, v15, "bitnot(1)"}, "ceil": {1, 1, v15, "ceil(1)"}, "floor": {1, 1, v15, "floor(1)"},
	"cos": {1, 1, v15, "cos(1)"}, "sin": {1, 1, v15, "sin(1)"}, "tan": {1, 1, v15, "tan(1)"}, "cosh": {1, 1, v15, "cosh(1)"},
	"sinh": {1, 1, v15, "sinh(1)"}, "tanh": {1, 1, v15, "tanh(1)"}, "exp": {1, 1, v15, "exp(1)"}, "ln": {1, 1, v15, "ln(1)"},
	"log": {1, 1, v15, "log(1)"}, "mod": {2, 2, v15, "mod(1, 2)"}, "remainder": {2, 2, v15, "remainder(1, 2)"}, "nanvl": {2, 2, v15, "nanvl(1, 2)"},
	"power": {2, 2, v15, "power(1, 2)"}, "rand": {0, 0, v15, "rand()"}, "round": {1, 1, v15, "round(1)"}, "sign": {1, 1, v15, "sign(1)"},
	"sqrt": {1, 1, v15, "sqrt(1)"}, "trunc": {2, 2, v15, "trunc(1, 2)"},

	"chr": {1, 1, v15, "chr(65)"}, "concat": {0, -1, v15, "concat('a', 'b')"}, "endswith": {2, 2, v15, "endswith('a', 'b')"},
	"startswith": {2, 2, v15, "startswith('a', 'b')"}, "indexof": {2, 2, v16, "indexof('a', 'b')"}, "length": {1, 1, v16, "length('a')"},
	"lower": {1, 1, v15, "lower('a')"}, "upper": {1, 1, v15, "upper('a')"}, "lpad": {2, 2, v15, "lpad('a', 1)"}, "rpad": {2, 2, v15, "rpad('a', 1)"},
	"ltrim": {1, 1, v15, "ltrim('a')"}, "rtrim": {1, 1, v15, "rtrim('a')"}, "trim": {1, 1, v15, "trim('a')"}, "numbytes": {1, 1, v16, "numbytes('a')"},
	"regexp_matches": {2, 2, v15, "regexp_matches('a', 'b')"}, "regexp_replace": {3, 3, v15, "regexp_replace('a', 'b', 'c')"},
	"regexp_substr": {2, 2, v15, "regexp_substr('a', 'a')"}, "replace": {3, 3, v15, "replace('a', 'b', 'c')"}, "substring": {2, 3, v15, "substring('a', 0)"},

	"md2": {1, 1, v15, "md2('a')"}, "md5": {1, 1, v15, "md5('a')"}, "sha1": {1, 1, v15, "sha1('a')"}, "sha224": {1, 1, v15, "sha224('a')"},
	"sha256": {1, 1, v15, "sha256('a')"}, "sha384": {1, 1, v15, "sha384('a')"}, "sha512": {1, 1, v15, "sha512('a')"},

	"get": {2, 2, v15, "get('a', 0)"}, "get_or_default": {1, 2, v16, "get_or_default(1, 2)"}, "isnull": {1, 1, v15, "isNull(1)"},
	"isundefined": {1, 1, v16, "isUndefined(1)"}, "transform": {3, 3, v16, "transform('enrichArray', {'a': 1}, [{'b': 1}])"},
	"encode": {2, 2, v16, "encode('a', 'base64')"}, "decode": {2, 2, v16, "decode('YQ==', 'base64')"},
	"parse_time": {2, 3, v16, "parse_time('yyyy', 0)"}, "time_to_epoch": {2, 2, v16, "time_to_epoch('2021-01-01', 'uuuu-MM-dd')"},

	"accountid": {0, 0, v15, "accountid()"}, "clientid": {0, 0, v15, "clientid()"}, "newuuid": {0, 0, v15, "newuuid()"},
	"principal": {0, 0, v15, "principal()"}, "sourceip": {0, 0, v16, "sourceip()"}, "sql_version": {0, 0, v15, "sql_version()"},
	"timestamp": {0, 0, v15, "timestamp()"}, "topic": {0, 1, v15, "topic(1)"}, "traceid": {0, 0, v15, "traceid()"},
	"get_mqtt_property": {1, 1, v16, "get_mqtt_property('content_type')"}, "get_user_properties": {0, 1, v16, "get_user_properties('k')"},

	"aws_lambda": {2, 2, v15, "aws_lambda('a', 1)"}, "get_dynamodb": {4, 6, v16, "get_dynamodb('t', 'k', 1, 'r')"},
	"get_registry_data": {3, 3, v16, "get_registry_data('DescribeThing', 't', 'r')"}, "get_secret": {3, 4, v16, "get_secret('i', 'SecretString', 'r')"},
	"get_thing_shadow": {2, 3, v16, "get_thing_shadow('t', 'r')"}, "machinelearning_predict": {3, 3, v15, "machinelearning_predict('m', 'r', 1)"},
}

// ofMessage are the functions whose value does not follow from their arguments.
var ofMessage = map[string]bool{"rand": true, "newuuid": true, "timestamp": true, "accountid": true, "clientid": true, "principal": true,
	"sourceip": true, "sql_version": true, "topic": true, "traceid": true, "get_mqtt_property": true, "get_user_properties": true}

// answers are functions of a host: each answers with the count of its arguments.
func answers() []Function {
	var all []Function
	for name := range externals {
		all = append(all, Function{Name: name, Call: func(_ context.Context, args []Value) (Value, error) { return IntValue(int64(len(args))), nil }})
	}
	return all
}

// TestSignatures: the language has the functions of the specification and no
// others, in the versions and with the counts of arguments that it says; any
// other count is Undefined.
func TestSignatures(t *testing.T) {
	c, err := newCompiler("", nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range c.names() {
		known[name] = true
		if _, ok := signatures[name]; !ok || !IsBuiltin(name) {
			t.Errorf("%s is not in the specification, or not built in", name)
		}
	}
	for name, sig := range signatures {
		if !known[name] {
			t.Errorf("there is no %s", name)
			continue
		}
		for _, version := range []string{v15, v16, VersionBeta} {
			got := language(sig.call, "{}", &Options{Version: version, Functions: answers()})
			old := version == v15 && sig.since == v16
			if strings.HasPrefix(got, "compile: ") != old || old && !strings.Contains(got, v16) || !old && got == "" {
				t.Errorf("%s with version %s: %s", sig.call, version, got)
			}
			// An argument of a newer version is refused in an older one, wherever it stands.
			if inner := "nanvl(upper(length('a')), 1)"; version == v15 && !strings.HasPrefix(language(inner, "{}", &Options{Version: version}), "compile: ") {
				t.Errorf("%s compiles with %s", inner, version)
			}
		}
		// As many arguments as in the call above, and others.
		for n := range 9 {
			args := []string{"'enrichArray'", "{'a': 1}", "[{'b': 1}]", "1", "1", "1", "1", "1", "1"}[:n]
			switch name {
			case "get_registry_data":
				args = []string{"'DescribeThing'", "1", "1", "1", "1", "1", "1", "1", "1"}[:n]
			case "transform", "get_user_properties", "get_mqtt_property", "encode", "decode":
			default:
				args = strings.Split(strings.Repeat("1,", 9), ",")[:n]
			}
			got := language(name+"("+strings.Join(args, ", ")+")", "{}", &Options{Functions: answers()})
			fits := n >= sig.min && (sig.max < 0 || n <= sig.max)
			if !fits && got != "" {
				t.Errorf("%s with %d arguments is %s, want Undefined", name, n, got)
			}
			if fits && got == "" && name != "get_user_properties" && name != "get_mqtt_property" && name != "concat" && name != "acos" &&
				name != "asin" && name != "get" && name != "encode" && name != "decode" && name != "topic" && name != "parse_time" && name != "time_to_epoch" {
				t.Errorf("%s with %d arguments is Undefined", name, n)
			}
		}
	}
	for name := range kinds {
		if _, ok := signatures[name]; !ok {
			t.Errorf("Lint knows %s, which is none", name)
		}
	}
}

// TestKinds: the kinds that Lint relies on.
func TestKinds(t *testing.T) {
	for name, kind := range kinds {
		got, err := ParseValue([]byte(language(signatures[name].call, "{}", nil)))
		if err != nil || got.IsNumber() && kind != Int || !got.IsNumber() && got.kind != kind {
			t.Errorf("%s is %s, want %s", name, got.kind, kind)
		}
	}
}

// numeric are functions of one number, binary of two: all else is Undefined.
func TestWrongKinds(t *testing.T) {
	bad := []string{"TRUE", "FALSE", "NULL", "missing", "[1]", "{'a': 1}", "'x'", "''", "' 1'"}
	for _, name := range strings.Fields("abs acos asin atan bitnot ceil floor cos sin tan cosh sinh tanh exp ln log round sign sqrt chr") {
		for _, arg := range bad {
			if got := language(name+"("+arg+")", "{}", nil); got != "" {
				t.Errorf("%s(%s) is %s, want Undefined", name, arg, got)
			}
		}
	}
	for _, name := range strings.Fields("atan2 bitand bitor bitxor mod remainder power trunc") {
		for _, arg := range bad {
			for _, call := range []string{name + "(" + arg + ", 1)", name + "(1, " + arg + ")"} {
				if got := language(call, "{}", nil); got != "" {
					t.Errorf("%s is %s, want Undefined", call, got)
				}
			}
		}
	}
	for _, name := range strings.Fields("lower upper trim ltrim rtrim length numbytes md2 md5 sha1 sha224 sha256 sha384 sha512") {
		for _, arg := range []string{"NULL", "missing"} {
			if got := language(name+"("+arg+")", "{}", nil); got != "" {
				t.Errorf("%s(%s) is %s, want Undefined", name, arg, got)
			}
		}
	}
}

// TestConstants: what follows from literals is evaluated once, when the text is
// compiled; what depends on the message never.
func TestConstants(t *testing.T) {
	for name, sig := range signatures {
		if _, outside := externals[name]; outside {
			continue
		}
		tmpl, err := CompileTemplate("${"+sig.call+"}", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, konst := tmpl.Constant(); konst == ofMessage[name] {
			t.Errorf("${%s}: constant %v", sig.call, konst)
		}
		// Lint takes two values of one call for the same under the same condition.
		cond := fmt.Sprintf("%s(x) = 1 AND %s(x) = 2", name, name)
		found, err := Lint("SELECT * FROM 'a' WHERE "+cond, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		together := strings.Contains(fmt.Sprint(found), "together")
		if _, special := builtins[name]; special && together == ofMessage[name] {
			t.Errorf("%s: %v", cond, found)
		}
	}
	for expr, konst := range map[string]bool{
		"1 + 2": true, "-(2)": true, "NOT TRUE": true, "1 < 2": true, "1 = 1": true, "'a' + 'b'": true, "CAST('1' AS Int)": true, "[1, 2]": true, "{'a': [1]}": true,
		"1 IN [1]": true, "CASE 1 WHEN 1 THEN 2 END": true, "{'a': {'b': 1}}.a.b": true, "1 + a": false, "a < 1": false, "CASE 1 WHEN 1 THEN a END": false,
		"CASE a WHEN 1 THEN 1 END": false, "CASE 1 WHEN a THEN 1 ELSE 2 END": false, "CASE 1 WHEN 2 THEN 1 ELSE a END": false, "[a]": false, "{'a': a}": false, "a IN [1]": false, "1 IN [a]": false,
		"CAST(a AS Int)": false, "{'a': a}.a": false, "NOT a": false, "-a": false, "upper(a)": false,
	} {
		tmpl, err := CompileTemplate("${"+expr+"}", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := tmpl.Constant(); got != konst {
			t.Errorf("${%s}: constant %v, want %v", expr, got, konst)
		}
	}
}

// TestRandom: newuuid and rand differ at each call, timestamp does not.
func TestRandom(t *testing.T) {
	uuid := regexp.MustCompile(`^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"$`)
	seen := map[string]bool{}
	for range 200 {
		id := language("newuuid()", "{}", nil)
		if !uuid.MatchString(id) || seen[id] {
			t.Fatalf("newuuid() is %s", id)
		}
		seen[id] = true
		r := language("rand()", "{}", nil)
		n, _ := ParseValue([]byte(r))
		if f, ok := n.Float(); !ok || f < 0 || f >= 1 || seen[r] {
			t.Fatalf("rand() is %s", r)
		}
		seen[r] = true
	}
	if got := language("newuuid() = newuuid() OR rand() = rand()", "{}", nil); got != "false" {
		t.Errorf("two calls are the same: %s", got)
	}
	// Without a time of the message it is now, once for an evaluation.
	st, err := CompileStatement("SELECT VALUE [timestamp(), timestamp()] FROM 'a'", nil)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().UnixMilli()
	out, _, err := st.Eval(context.Background(), new(Input))
	after := time.Now().UnixMilli()
	var a, b int64
	if n, _ := fmt.Sscanf(string(out), "[%d,%d]", &a, &b); err != nil || n != 2 || a != b || a < before || a > after {
		t.Errorf("timestamp() twice: %s, %v", out, err)
	}
}

// TestNothingKnown: what a message does not carry is Undefined, or what the
// specification says.
func TestNothingKnown(t *testing.T) {
	for expr, want := range map[string]string{
		"clientid()": `"n/a"`, "accountid()": "", "principal()": "", "sourceip()": "", "traceid()": "", "topic()": "", "topic(1)": `""`, "get_user_properties()": "",
		"get_user_properties('k')": "", "get_mqtt_property('content_type')": "", "get_mqtt_property('response_topic')": "",
		"get_mqtt_property('correlation_data')": "", "get_mqtt_property('format_indicator')": `"UNSPECIFIED_BYTES"`, "isUndefined(principal())": "true",
		"isNull(principal())": "false",
	} {
		st, err := CompileStatement("SELECT VALUE "+expr, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, _, err := st.Eval(context.Background(), new(Input)); err != nil || string(out) != want {
			t.Errorf("%s is %s, %v, want %s", expr, out, err, want)
		}
	}
	for topic, want := range map[string]string{"$aws/rules/r/a/b": `["a/b","a","b"]`, "$aws/rules/r/a": `["a","a"]`, "$aws/rules/r": `[""]`, "$aws/things/x": `["$aws/things/x","$aws","things"]`,
		"a//b": `["a//b","a",""]`, "/a": `["/a","","a"]`} {
		st, err := CompileStatement("SELECT VALUE [topic(), topic(1), topic(2)]", nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, _, err := st.Eval(context.Background(), &Input{Topic: topic}); err != nil || string(out) != want {
			t.Errorf("topic %s: %s, %v, want %s", topic, out, err, want)
		}
	}
}

// TestOutside: which argument may be *, which must be constant, which may not
// be a variable, and how often a function may be asked.
func TestOutside(t *testing.T) {
	var got []string
	funcs := answers()
	for i := range funcs {
		name := funcs[i].Name
		funcs[i].Call = func(_ context.Context, args []Value) (Value, error) {
			call := name
			for _, a := range args {
				call += " " + string(a.JSON())
			}
			got = append(got, call)
			return StringValue("r"), nil
		}
	}
	for _, c := range []struct{ sql, want string }{ // want: calls joined by ;, or the error
		{"SELECT aws_lambda('f', *)", `aws_lambda "f" {"a":1}`},
		{"SELECT aws_lambda('f', {'x': *, 'y': a})", `aws_lambda "f" {"x":{"a":1},"y":1}`},
		{"SELECT aws_lambda(*, 'f')", "error * cannot be an argument"},
		{"SELECT machinelearning_predict('m', 'r', *)", `machinelearning_predict "m" "r" {"a":1}`},
		{"SELECT machinelearning_predict('m', *, 'r')", "error * cannot be an argument"},
		{"SELECT decode(*, 'proto', 'b', 'k', 'f', 'm')", `decode_proto "eyJhIjoxfQ==" "b" "k" "f" "m"`},
		{"SELECT decode(*, 'base64')", "error * cannot be an argument"},
		{"SELECT decode('x', 'proto', 'b', 'k', 'f', 'm') AS x, decode('y', 'proto', 'b', 'k', 'f', 'm') AS y", `decode_proto "x" "b" "k" "f" "m";decode_proto "y" "b" "k" "f" "m"`},
		{"SELECT decode('x', 'proto', 'b', 'k', 'f', 'm') AS x, decode('y', 'proto', 'b', 'k', 'f', 'm') AS y, decode('z', 'proto', 'b', 'k', 'f', 'm') AS z",
			"error decode(): called more often in one statement than the service allows"},
		{"SELECT decode('x', 'proto', 'b', 'k', 'f')", ``},
		{"SELECT get_registry_data('DescribeThing', 't', 'r')", `get_registry_data "DescribeThing" "t" "r"`},
		{"SELECT get_registry_data('ListThingGroupsForThing', a, 'r')", `get_registry_data "ListThingGroupsForThing" 1 "r"`},
		{"SELECT get_registry_data(upper('x'), 't', 'r')", "error line 1, column 26: the first argument of get_registry_data() must be a constant string"},
		{"SELECT get_registry_data('Delete', 't', 'r')", "error line 1, column 26: get_registry_data() has no API Delete, expected 'DescribeThing' or 'ListThingGroupsForThing'"},
		{"SELECT get_registry_data('DescribeThing', 't', 'r') AS x, get_registry_data('DescribeThing', 'u', 'r') AS y", "error get_registry_data(): called more often"},
		{"SELECT get_dynamodb('t', 'k', 1, 'r') AS x, get_dynamodb('t', 'k', 2, 'r') AS y", "error get_dynamodb(): called more often"},
		{"SELECT get_dynamodb('t', 'k', 1, 'r') AS x, get_registry_data('DescribeThing', 'u', 'r') AS y", `get_dynamodb "t" "k" 1 "r";get_registry_data "DescribeThing" "u" "r"`},
		{"SELECT get_or_default(get_dynamodb('t', 'k', 1, 'r')) AS w, get_or_default(get_dynamodb('t', 'k', 2, 'r')) AS x, get_or_default(get_dynamodb('t', 'k', 3, 'r')) AS y, get_or_default(get_dynamodb('t', 'k', 4, 'r')) AS z",
			`get_dynamodb "t" "k" 1 "r"`},
		{"SELECT get_dynamodb('t', 'k', 1, 's', 2, 'r') AS x", `get_dynamodb "t" "k" 1 "s" 2 "r"`},
		{"SELECT get_secret('i', 'SecretString', 'r') AS x, get_secret('i', 'SecretString', 'k', 'r') AS y, get_secret('i', 'SecretBinary', 'r') AS z",
			`get_secret "i" "SecretString" "r";get_secret "i" "SecretString" "k" "r";get_secret "i" "SecretBinary" "r"`},
		{"SELECT get_thing_shadow(missing, 'r')", `get_thing_shadow  "r"`},
		{"SET @r = 'r' SELECT get_thing_shadow('t', @r)", "error line 1, column 43: a variable cannot be the role of get_thing_shadow()"},
		{"SET @r = 'r' SELECT get_dynamodb('t', 'k', 1, @r)", "error a variable cannot be the role of get_dynamodb()"},
		{"SET @r = 'r' SELECT get_secret(@r, 'SecretString', 'x')", `get_secret "r" "SecretString" "x"`},
		{"SET @r = 'r' SELECT machinelearning_predict('m', 'r', @r)", `machinelearning_predict "m" "r" "r"`},
		{"SET @r = 'r' SELECT aws_lambda('f', @r)", `aws_lambda "f" "r"`},
		{"SET @m = 'enrichArray' SELECT transform(@m, {'a': 1}, [{}])", "error line 1, column 41: a variable cannot be the mode of transform()"},
		{"SET @m = {'a': 1} SELECT transform('enrichArray', @m, [{}])", ""},
		{"SELECT get_or_default(a, get_thing_shadow('t', 'r'))", "error line 1, column 26: the default of get_or_default() cannot ask the outside"},
		{"SELECT get_or_default(get_thing_shadow('t', 'r'), a)", `get_thing_shadow "t" "r"`},
		{"SELECT get_or_default(a, b, get_thing_shadow('t', 'r'))", ``},
		{"SELECT decode_proto('x', 'b', 'k', 'f', 'm')", "error there is no function decode_proto"},
	} {
		got = nil
		st, err := CompileStatement(c.sql+" FROM 'a'", &Options{Functions: funcs})
		if err == nil {
			_, _, err = st.Eval(context.Background(), &Input{Payload: []byte(`{"a":1}`)})
		}
		if wrong, isErr := strings.CutPrefix(c.want, "error "); isErr {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want %s", c.sql, err, wrong)
			}
		} else if calls := strings.Join(got, ";"); err != nil || calls != c.want {
			t.Errorf("%s: %s, %v, want %s", c.sql, calls, err, c.want)
		}
	}
	// In version 2015-10-08 only a literal as input of aws_lambda is newer.
	for sql, ok := range map[string]bool{"SELECT aws_lambda('f', a)": true, "SELECT aws_lambda('f', *)": true, "SELECT aws_lambda('f', {'a': 1})": false,
		"SELECT aws_lambda('f', [1])": false, "SELECT aws_lambda('f', (SELECT a FROM b))": false} {
		if _, err := CompileStatement(sql, &Options{Version: v15, Functions: funcs}); (err == nil) != ok {
			t.Errorf("%s in version %s: %v", sql, v15, err)
		}
	}
	// What the older version lacks, wherever it stands.
	for _, sql := range []string{"SELECT [1]", "SELECT {'a': 1}", "SELECT {'a': 1} AS b", "SELECT VALUE {}", "SELECT (SELECT a FROM b)", "SELECT a WHERE EXISTS (SELECT a FROM b)", "SELECT a IN [1]",
		"SELECT cast(a AS Decimal)", "SELECT cast(a AS Bool)", "SELECT cast(a AS Boolean)", "SELECT encode(a, 'base64')", "SELECT decode(a, 'base64')", "SELECT get_or_default(a, 1)", "SELECT get_or_default()",
		"SET @a = [] SELECT 1", "SELECT a WHERE a = [1]", "SELECT upper(length(a))"} {
		if _, err := CompileStatement(sql, nil); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if _, err := CompileStatement(sql, &Options{Version: v15}); err == nil || !strings.Contains(err.Error(), "need version "+v16+" of the language, the statement has "+v15) {
			t.Errorf("%s in version %s: %v", sql, v15, err)
		}
	}
	if got := language("decode('x', 'proto')", "{}", nil); !strings.Contains(got, "nothing answers decode(.., 'proto', ..) here") {
		t.Errorf("decode of two arguments: %s", got)
	}
	if _, err := CompileTemplate("${decode(x, 'proto', 'b', 'k', 'f', 'm')}", &TemplateOptions{Options: Options{Functions: funcs}}); err == nil {
		t.Error("decode(.., 'proto', ..) compiles in a template")
	}
	for name := range maps.Keys(externals) {
		call := signatures[name].call
		if name == protoName {
			call = "decode('x', 'proto', 'b', 'k', 'f', 'm')"
		}
		if got := language(call, "{}", nil); !strings.Contains(got, "nothing answers ") {
			t.Errorf("%s without an answer: %s", call, got)
		}
	}
}
