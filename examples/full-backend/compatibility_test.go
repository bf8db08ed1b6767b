package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/broker/brokerhttp"
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

// What nobody answers ends in the shape of AWS, for every operation of the
// specification's control plane paths.
func TestNotImplemented(t *testing.T) {
	p := start(t)
	for _, path := range []string{"/packages/x", "/domainConfigurations/x", "/authorizer/x", "/streams/x", "/custom-nothing"} {
		status, answer := p.curl("POST", path, "{}")
		if status != 501 || !strings.Contains(answer, "not implemented") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if !slices.Contains(registryhttp.Operations(), "CreateThing") {
		t.Error("registryhttp does not name CreateThing")
	}
}
