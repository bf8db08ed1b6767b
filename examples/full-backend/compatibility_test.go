package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/broker/brokerhttp"
	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/registry/defender/defenderhttp"
	"github.com/thingloom/thingloom/registry/dynamicgroup/dynamicgrouphttp"
	"github.com/thingloom/thingloom/registry/fleetindex/fleetindexhttp"
	"github.com/thingloom/thingloom/registry/jobs/jobshttp"
	"github.com/thingloom/thingloom/registry/provision/provisionhttp"
	"github.com/thingloom/thingloom/registry/registryhttp"
	"github.com/thingloom/thingloom/rules/ruleshttp"
	"github.com/thingloom/thingloom/shadow/shadowhttp"
)

var update = flag.Bool("update", false, "write docs/aws-compatibility.md anew")

// served are the operations of each service that the endpoint packages answer.
func served() map[string]map[string]string {
	all := map[string]map[string]string{"iot": {}, "iot-data": {}, "iot-jobs-data": {}}
	add := func(service, by string, operations []string) {
		for _, name := range operations {
			all[service][name] = by
		}
	}
	add("iot", "registry/registryhttp", registryhttp.Operations())
	add("iot", "registry/provision/provisionhttp", provisionhttp.Operations())
	add("iot", "registry/fleetindex/fleetindexhttp", fleetindexhttp.Operations())
	add("iot", "registry/dynamicgroup/dynamicgrouphttp", dynamicgrouphttp.Operations())
	add("iot", "registry/jobs/jobshttp", jobshttp.ControlOperations())
	add("iot", "registry/defender/defenderhttp", defenderhttp.Operations())
	add("iot", "rules/ruleshttp", ruleshttp.Operations())
	add("iot-data", "shadow/shadowhttp", shadowhttp.Operations())
	add("iot-data", "broker/brokerhttp", brokerhttp.Operations())
	add("iot-jobs-data", "registry/jobs/jobshttp", jobshttp.DeviceOperations())
	return all
}

// docs/aws-compatibility.md says of each operation of the service models which
// package answers it. It is made here, from what the packages say of themselves:
//
//	go test ./examples/full-backend -run Compatibility -update
func TestCompatibilityDocument(t *testing.T) {
	models, err := os.ReadFile(filepath.Join("testdata", "aws-operations.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := served()
	var b bytes.Buffer
	b.WriteString("# AWS IoT operations\n\nOne row for each operation of the service models. Generated; see `examples/full-backend/compatibility_test.go`.\n" +
		"Operations that no package answers end in the service's error shape, 501 `NotImplementedException`.\nWhat an operation leaves out is said in the comment of its package.\n")
	service, known, answered := "", map[string]bool{}, map[string]int{}
	total := map[string]int{}
	var rows []string
	for line := range strings.Lines(string(models)) {
		s, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		total[s]++
		known[s+" "+name] = true
		by := "not implemented"
		if p := all[s][name]; p != "" {
			by = "`" + p + "`"
			answered[s]++
		}
		if s != service {
			service = s
			rows = append(rows, "\n## "+s+"\n\n| operation | answered by |\n|---|---|")
		}
		rows = append(rows, "| "+name+" | "+by+" |")
	}
	for _, s := range []string{"iot", "iot-data", "iot-jobs-data"} {
		fmt.Fprintf(&b, "\n%s: %d of %d operations.\n", s, answered[s], total[s])
	}
	b.WriteString(strings.Join(rows, "\n") + "\n")
	for s, operations := range all {
		for name := range operations {
			if !known[s+" "+name] {
				t.Errorf("%s has no operation %s", s, name)
			}
		}
	}
	file := filepath.Join("..", "..", "docs", "aws-compatibility.md")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Equal(text, b.Bytes()) {
		t.Errorf("%s is not what the packages say of themselves: run this test with -update (%v)", file, err)
	}
}

// An operation of the models, with a request that names something by x.
type operation struct {
	Service, Name, Method, URI string
	Query                      []string // parameters
}

// operations asks the SDKs, which have the models, for all operations.
func operations(t *testing.T) (all []operation) {
	t.Helper()
	const script = `for (const [service, name] of [['iot', 'iot'], ['iot-data', 'iot-data-plane'], ['iot-jobs-data', 'iot-jobs-data-plane']]) {
		const sdk = require('@aws-sdk/client-' + name);
		for (const key of Object.keys(sdk).filter(k => k.endsWith('Command') && k !== '$Command')) {
			const schema = new sdk[key]({}).schema, [method, uri] = schema[3].http;
			const input = typeof schema[4] === 'function' ? schema[4]() : schema[4];
			const query = (input[5] || []).map(m => Array.isArray(m) && m[1] && m[1].httpQuery).filter(Boolean);
			console.log(JSON.stringify({ service, name: schema[2], method, uri: uri.replace(/[{][^}]*[}]/g, 'x'), query }));
		}
	}`
	dir := foreign.NeedNPM(t, "@aws-sdk/client-iot")
	foreign.NeedNPM(t, "@aws-sdk/client-iot-data-plane")
	foreign.NeedNPM(t, "@aws-sdk/client-iot-jobs-data-plane")
	cmd := exec.CommandContext(t.Context(), foreign.Need(t, "node"), "-e", script)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var op operation
		if err := json.Unmarshal(line, &op); err != nil {
			t.Fatal(err)
		}
		all = append(all, op)
	}
	return all
}

// Every operation that the models have is answered where docs/aws-compatibility.md
// says so, and ends in the service's shape of what is not implemented elsewhere.
func TestEveryOperation(t *testing.T) {
	all := operations(t)
	p := start(t)
	token, device := p.token(), p.device("x")
	answered, total := served(), map[string]int{}
	asDevice := &http.Client{Transport: &http.Transport{TLSClientConfig: device.tlsConfig()}}
	defer asDevice.CloseIdleConnections()
	for _, op := range all {
		total[op.Service]++
		known := answered[op.Service][op.Name] != ""
		client, url := http.DefaultClient, p.http
		if known && op.Service == "iot-jobs-data" { // whose paths the control plane has too
			client, url = asDevice, "https://localhost:"+p.https
		}
		r, err := http.NewRequestWithContext(t.Context(), op.Method, url+op.URI, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		w, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(w.Body)
		w.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		missing := w.StatusCode == http.StatusNotImplemented && w.Header.Get("x-amzn-ErrorType") == "NotImplementedException" && bytes.Contains(text, []byte(`"message":`))
		if known == missing {
			t.Errorf("%s %s, %s %s: %d %s %s", op.Service, op.Name, op.Method, op.URI, w.StatusCode, w.Header.Get("x-amzn-ErrorType"), text)
		}
	}
	if total["iot"] < 200 || total["iot-data"] < 5 || total["iot-jobs-data"] < 4 {
		t.Errorf("the models have %v", total)
	}
}
