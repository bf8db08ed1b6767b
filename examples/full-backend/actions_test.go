package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/registry/awsauth"
	"github.com/thingloom/thingloom/rules"
)

const roleARN = `"roleArn":"arn:aws:iam::123456789012:role/rules"`

// read is what GET of a path answers to the admin; the test fails unless that is 200.
func (p *process) read(path string) string {
	p.t.Helper()
	status, answer := p.curl("GET", path, "")
	if status != 200 {
		p.t.Errorf("GET %s: %d %s", path, status, answer)
	}
	return answer
}

// has waits until GET of a path has want in it.
func (p *process) has(path, want string) string {
	p.t.Helper()
	var answer string
	p.eventually(path+" has "+want, func() error {
		_, answer = p.curl("GET", path, "")
		if !strings.Contains(answer, want) {
			return errors.New(answer)
		}
		return nil
	})
	return answer
}

// value is the value of the record at an offset of a stream's partition.
func (p *process) records(stream string) (all []string) {
	p.t.Helper()
	for partition := 0; ; partition++ {
		var page struct {
			Partitions int
			Records    []struct {
				Key    string
				Value  json.RawMessage
				Base64 []byte
			}
		}
		if err := json.Unmarshal([]byte(p.read(fmt.Sprintf("/api/streams/%s?partition=%d", stream, partition))), &page); err != nil {
			p.t.Fatal(err)
		}
		for _, r := range page.Records {
			value := string(r.Value)
			if r.Value == nil {
				value = fmt.Sprintf("%q", r.Base64)
			}
			all = append(all, r.Key+" "+value)
		}
		if partition+1 >= page.Partitions {
			slices.Sort(all)
			return all
		}
	}
}

// objects are the objects of the bucket below a prefix, by key.
func (p *process) objects(prefix string) map[string]string {
	p.t.Helper()
	var list struct{ Objects []struct{ Key string } }
	if err := json.Unmarshal([]byte(p.read("/bucket/?prefix="+prefix)), &list); err != nil {
		p.t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range list.Objects {
		all[o.Key] = p.read("/bucket/" + strings.ReplaceAll(o.Key, "%", "%25"))
	}
	return all
}

// The actions of AWS, in rules that its CLI makes: a message comes by MQTT, and
// what became of it is read back. Raw bytes are as good where AWS takes them.
func TestActionsByAWSCLI(t *testing.T) {
	push := newReceiver(t)
	p := start(t, "-streams", "readings", "-deliveryStreams", "lines,batches", "-notifyURL", push.url+"/alerts")
	a, d := p.aws(), p.device("s1")
	if status, answer := p.curl("PUT", "/tables/items", `{"hashKey":{"name":"thing"},"rangeKey":{"name":"n","type":"NUMBER"}}`); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if got := p.read("/api/streams"); strings.TrimSpace(got) != `{"deliveryStreams":["batches","lines"],"streams":["cloudwatch","readings","telemetry"]}` {
		t.Errorf("streams %s", got)
	}
	if status, _ := p.curl("GET", "/api/streams/nobody", ""); status != 404 {
		t.Errorf("a stream that is not there: %d", status)
	}
	const failures = `"errorAction":{"republish":{"topic":"devices/${topic(2)}/failed/${topic(3)}",` + roleARN + `}}`
	rule := func(name, sql, actions string) {
		t.Helper()
		payload, err := json.Marshal(map[string]any{"sql": sql, "awsIotSqlVersion": "2016-03-23"})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(string(payload), "}") + `,"actions":[` + actions + `],` + failures + `}`
		if name == "batches" { // the distribution's CLI is older than batchMode of cloudwatchLogs
			if status, answer := p.curl("POST", "/rules/"+name, text); status != 200 {
				t.Errorf("%d %s", status, answer)
			}
			return
		}
		a.ok(``, "iot", "create-topic-rule", "--rule-name", name, "--topic-rule-payload", text)
		a.ok(`"roleArn":"arn:aws:iam::123456789012:role/rules"`, "iot", "get-topic-rule", "--rule-name", name)
	}
	rule("objects", `SELECT * FROM 'sensors/+/in'`,
		`{"dynamoDBv2":{"putItem":{"tableName":"${topic(4)}items"},`+roleARN+`}},`+
			`{"kinesis":{"streamName":"readings","partitionKey":"${topic(2)}",`+roleARN+`}},`+
			`{"firehose":{"deliveryStreamName":"lines","separator":"\n",`+roleARN+`}},`+
			`{"s3":{"bucketName":"archive","key":"${topic()}/${n}.json","cannedAcl":"private",`+roleARN+`}},`+
			`{"sns":{"targetArn":"arn:aws:sns:us-east-1:123456789012:alarms","messageFormat":"RAW",`+roleARN+`}},`+
			`{"cloudwatchLogs":{"logGroupName":"fleet-${topic(2)}",`+roleARN+`}},`+
			`{"cloudwatchMetric":{"metricName":"temperature","metricNamespace":"fleet/${topic(2)}","metricUnit":"None","metricValue":"${t}","metricTimestamp":"${ts}",`+roleARN+`}}`)
	rule("bytes", `SELECT * FROM 'sensors/+/raw'`,
		`{"kinesis":{"streamName":"readings","partitionKey":"raw",`+roleARN+`}},`+
			`{"firehose":{"deliveryStreamName":"lines","separator":"\n",`+roleARN+`}},`+
			`{"s3":{"bucketName":"archive","key":"${concat('../../', topic())}",`+roleARN+`}},`+
			`{"dynamoDB":{"tableName":"raw","hashKeyField":"thing","hashKeyValue":"${topic(2)}","payloadField":"bytes",`+roleARN+`}},`+
			`{"dynamoDBv2":{"putItem":{"tableName":"items"},`+roleARN+`}}`)
	rule("batches", `SELECT VALUE * FROM 'sensors/+/batch'`,
		`{"firehose":{"deliveryStreamName":"batches","separator":",","batchMode":true,`+roleARN+`}},`+
			`{"cloudwatchLogs":{"logGroupName":"batch","batchMode":true,`+roleARN+`}}`)

	failed := d.sub("devices/s1/failed/#")
	d.mustPub("sensors/s1/in", `{"thing":"s1","n":1,"t":31.5,"ts":1600000000}`)
	d.mustPub("sensors/s1/in", `{"thing":"s1","n":1,"t":32,"ts":1600000001}`)
	d.mustPub("sensors/s1/in", `{"n":2,"t":33,"ts":1600000002}`) // has no thing: no item
	if out, err := d.pub("sensors/s1/raw", "a\xfe\xff"); err != nil {
		t.Fatal(out, err)
	}
	d.mustPub("sensors/s1/batch", `[{"timestamp":1600000000000,"message":"first"},{"timestamp":1600000001000,"message":"second"}]`)

	// What failed, and why.
	want := map[string]string{"in": `DynamoDBv2Action items the key "thing" is missing`, "raw": "DynamoDBv2Action items not JSON"}
	for range 2 {
		topic, text, _ := strings.Cut(next(t, failed), " ")
		kind := topic[strings.LastIndexByte(topic, '/')+1:]
		var doc rules.ErrorDocument
		if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Failures) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		f := doc.Failures[0]
		about, reason, _ := strings.Cut(want[kind], " items ")
		if f.Action != about || f.Resource != "items" || !strings.Contains(f.Message, reason) {
			t.Errorf("%s: %+v, want %s", kind, f, want[kind])
		}
	}

	// Each action's own result.
	p.has("/tables/items/s1", `[{"thing":"s1","n":1,"t":32,"ts":1600000001}]`)
	p.has("/tables/raw/s1", `[{"bytes":"Yf7/","thing":"s1"}]`)
	if got, want := p.records("readings"), []string{`raw "a\xfe\xff"`, `s1 {"n":2,"t":33,"ts":1600000002}`, `s1 {"thing":"s1","n":1,"t":31.5,"ts":1600000000}`, `s1 {"thing":"s1","n":1,"t":32,"ts":1600000001}`}; !slices.Equal(got, want) {
		t.Errorf("stream has  %q\nwant %q", got, want)
	}
	if got := p.records("cloudwatch"); len(got) != 3 || got[0] != `temperature {"namespace":"fleet/s1","metricName":"temperature","value":31.5,"unit":"None","timestamp":1600000000000}` {
		t.Errorf("data points %q", got)
	}
	lines := `{"thing":"s1","n":1,"t":31.5,"ts":1600000000}` + "\n" + `{"thing":"s1","n":1,"t":32,"ts":1600000001}` + "\n" + `{"n":2,"t":33,"ts":1600000002}` + "\na\xfe\xff\n"
	for prefix, want := range map[string]string{"firehose/lines/": lines, "firehose/batches/": `{"timestamp":1600000000000,"message":"first"},{"timestamp":1600000001000,"message":"second"},`} {
		p.eventually("the records are in files of "+prefix, func() error {
			all := p.objects(prefix)
			var text strings.Builder
			for _, key := range slices.Sorted(func(yield func(string) bool) {
				for key := range all {
					if !yield(key) {
						return
					}
				}
			}) {
				text.WriteString(all[key])
			}
			if text.String() != want {
				return fmt.Errorf("%q, want %q", text.String(), want)
			}
			return nil
		})
	}
	p.eventually("the objects are in the bucket", func() error {
		got := p.objects("s3/")
		want := map[string]string{
			"s3/archive/sensors/s1/in/1.json": `{"thing":"s1","n":1,"t":32,"ts":1600000001}`, "s3/archive/sensors/s1/in/2.json": `{"n":2,"t":33,"ts":1600000002}`,
			"s3/archive/%2E./%2E./sensors/s1/raw": "a\xfe\xff",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
	var titles []string
	for range 3 {
		var n struct{ Topic, Title, Message string }
		if err := json.Unmarshal([]byte(next(t, push.bodies)), &n); err != nil {
			t.Fatal(err)
		}
		titles = append(titles, n.Topic+" "+n.Message)
	}
	slices.Sort(titles)
	if titles[0] != `alarms {"n":2,"t":33,"ts":1600000002}` {
		t.Errorf("pushed %q", titles)
	}
	p.has("/api/notifications", `"thing":"alarms","message":"{\"n\":2,\"t\":33,\"ts\":1600000002}"`)
	for _, line := range []string{`time=1970`, `msg=first log_group=batch rule=batches topic=sensors/s1/batch`, `msg=second`, `log_group=fleet-s1 rule=objects`} {
		if line != "time=1970" && !strings.Contains(p.out.String(), line) {
			t.Errorf("the log has no %q", line)
		}
	}
	if !regexp.MustCompile(`time=2020-09-1\dT\S+ level=INFO msg=first`).MatchString(p.out.String()) {
		t.Error("a line of a batch has another time than its own")
	}

	// The ledger of one rule.
	var view ruleView
	if err := json.Unmarshal([]byte(p.has("/api/rules/objects", `"matched":3,"filtered":0,"delivered":2,"pending":0`)), &view); err != nil || view.DeadLettered != 1 || view.Reasons[rules.ReasonErrorAction] != 1 {
		t.Errorf("%+v, %v", view, err)
	}
	if status, _ := p.curl("GET", "/api/rules/nobody", ""); status != 404 {
		t.Errorf("the ledger of no rule: %d", status)
	}

	// All of it outlives the process.
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.run()
	if got := p.records("readings"); len(got) != 4 {
		t.Errorf("after a restart the stream has %q", got)
	}
	p.has("/tables/items/s1", `"t":32`)
	d.mustPub("sensors/s1/in", `{"thing":"s1","n":1,"t":34,"ts":1600000003}`)
	p.has("/tables/items/s1", `"t":34`)
}

// A batch of the action http, signed as a role; the other side verifies it.
func TestHTTPActionOfAWS(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/poster"
	auth, err := awsauth.New(awsauth.StaticKeys{"AKIDPOSTER": {Secret: "geheim", SessionToken: "tok", Principal: arn}}, &awsauth.Options{Services: []string{"execute-api"}, Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(chan string, 100)
	server := httptest.NewServer(auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- strings.Join([]string{r.URL.Path, awsauth.Principal(r.Context()), r.Header.Get("Content-Type"), r.Header.Get("X-Last"), string(body)}, " ")
	})))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "roles")
	if err := os.WriteFile(file, []byte("# who rules post as\n["+arn+"]\naws_access_key_id = AKIDPOSTER\naws_secret_access_key=geheim\naws_session_token=tok\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-roles", file)
	a, d := p.sdk(), p.device("s1")
	rule := func(name, arn string) string {
		return `{"ruleName":"` + name + `","topicRulePayload":{"sql":"SELECT n FROM 'sensors/+/x'","actions":[{"http":{"url":"` + server.URL + `/in-${topic(2)}","confirmationUrl":"` + server.URL + `/in",
			"headers":[{"key":"X-Last","value":"${n}"}],"enableBatching":true,"batchConfig":{"maxBatchOpenMs":200,"maxBatchSize":3},
			"auth":{"sigv4":{"roleArn":"` + arn + `","serviceName":"execute-api","signingRegion":"eu-west-1"}}}}]}}`
	}
	// By the SDK: the distribution's CLI is older than batches.
	a.ok(`{}`, "CreateTopicRule", rule("post", arn))
	a.ok(`"enableBatching":true,"batchConfig":{"maxBatchOpenMs":200,"maxBatchSize":3}`, "GetTopicRule", `{"ruleName":"post"}`)
	if out := a.send("CreateTopicRule", rule("other", arn+"2")); out.Error != "InvalidRequestException" || !strings.Contains(out.Message, "auth.sigv4: -roles has no credentials of") {
		t.Errorf("a role without credentials: %+v", out)
	}
	var payloads []string
	for n := range 30 {
		payloads = append(payloads, fmt.Sprintf(`{"n":%d}`, n))
	}
	d.publishAll("sensors/s1/x", payloads)
	seen := map[int]bool{}
	for len(seen) < len(payloads) {
		words := strings.SplitN(next(t, bodies), " ", 5)
		var batch []struct{ N int }
		if err := json.Unmarshal([]byte(words[4]), &batch); err != nil || len(batch) > 3 || words[0] != "/in-s1" || words[1] != arn || words[2] != "application/json" {
			t.Fatalf("posted %q, %v", words, err)
		}
		for _, b := range batch {
			seen[b.N] = true
		}
		if last := batch[len(batch)-1].N; words[3] != fmt.Sprint(last) {
			t.Errorf("headers of %s in a batch that ends with %d", words[3], last)
		}
	}
}

// What cannot be offered is refused with what can, and nothing is stored.
func TestActionsNotOffered(t *testing.T) {
	p := start(t)
	a := p.aws()
	for _, tt := range []struct{ action, want string }{
		{`{"sqs":{"queueUrl":"https://sqs.us-east-1.amazonaws.com/1/q",` + roleARN + `}}`, `actions[0]: actions: unknown action "sqs", which AWS IoT has and this program does not offer; offered are cloudwatchLogs, cloudwatchMetric, dynamoDB, dynamoDBv2, firehose, function, http, kinesis, lambda,`},
		{`{"kafka":{"destinationArn":"arn:x","topic":"t","clientProperties":{}}}`, `unknown action "kafka"`},
		{`{"kinesis":{"streamName":"orders","partitionKey":"k",` + roleARN + `}}`, `invalid parameter streamName: stream: no such stream: \"orders\"; there are [\"cloudwatch\" \"telemetry\"]`},
		{`{"firehose":{"deliveryStreamName":"orders",` + roleARN + `}}`, `deliveryStreamName: stream: no such stream`},
		{`{"lambda":{"functionArn":"arn:aws:lambda:us-east-1:1:function:nobody"}}`, `functionArn: function: no such function`},
		{`{"s3":{"bucketName":"Archive","key":"k",` + roleARN + `}}`, `bucketName`},
	} {
		out, ok := a.run("iot", "create-topic-rule", "--rule-name", "no", "--topic-rule-payload", `{"sql":"SELECT * FROM 'a'","actions":[`+tt.action+`]}`)
		if want := strings.ReplaceAll(tt.want, `\"`, `"`); ok || !strings.Contains(out, "(InvalidRequestException)") || !strings.Contains(out, want) || !strings.Contains(out, "nothing was stored") {
			t.Errorf("%s: %s\nwant %s", tt.action, out, want)
		}
	}
	// The CLI checks itself that roles are there; the wire does not.
	for _, action := range []string{`{"s3":{"bucketName":"archive","key":"k"}}`, `{"dynamoDB":{"tableName":"t","hashKeyField":"k","hashKeyValue":"v"}}`} {
		if status, answer := p.curl("POST", "/rules/no", `{"sql":"SELECT * FROM 'a'","actions":[],"errorAction":`+action+`}`); status != 400 || !strings.Contains(answer, "errorAction") || !strings.Contains(answer, "roleArn is required, and missing") {
			t.Errorf("%s: %d %s", action, status, answer)
		}
	}
	a.refused("UnauthorizedException", "iot", "get-topic-rule", "--rule-name", "no")
}
