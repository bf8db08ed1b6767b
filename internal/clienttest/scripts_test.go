package clienttest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/internal/foreign"
)

// script runs a program in dir that must print want.
func script(t *testing.T, dir, want, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil || out.String() != want {
		t.Errorf("%s %q: %v\n got %s\nwant %s\n%s", program, args, err, out.String(), want, errs.String())
	}
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

func TestMQTTjs(t *testing.T) {
	dir := foreign.NeedNPM(t, "mqtt")
	node := foreign.Need(t, "node")
	file, err := filepath.Abs("testdata/client.js")
	check(t, err)
	s := start(t, vfs.NewMem())
	for _, version := range []string{"4", "5"} {
		for transport, url := range map[string]string{"tcp": "mqtt://" + s.tcp, "websocket": s.ws} {
			t.Run(version+"/"+transport, func(t *testing.T) {
				id := "js-" + version + "-" + transport
				want := []string{
					fmt.Sprintf("live %s/a|0|false|zero %[1]s/a|1|false|one %[1]s/retained|1|false|kept", id),
					fmt.Sprintf("resumed true %s/offline|1|false|0 %[1]s/offline|1|false|1 %[1]s/offline|1|false|2", id),
					fmt.Sprintf("retained %s/retained|1|true|kept", id),
				}
				if version == "5" {
					want = append(want, "properties text/plain r c v,w")
				}
				want = append(want, fmt.Sprintf("will %s/retained|1|false|gone", id), fmt.Sprint("big ", len(id)+len("/retained|1|false|")+200_000))
				if version == "5" {
					want = append(want, "forbidden 135")
				}
				script(t, dir, lines(want...), node, file, url, version, id)
			})
		}
	}
}

// TestMQTTjsFeatures tries what MQTT 5 has beside the basics.
func TestMQTTjsFeatures(t *testing.T) {
	dir := foreign.NeedNPM(t, "mqtt")
	node := foreign.Need(t, "node")
	file, err := filepath.Abs("testdata/features5.js")
	check(t, err)
	s := start(t, vfs.NewMem())
	for transport, url := range map[string]string{"tcp": "mqtt://" + s.tcp, "websocket": s.ws} {
		t.Run(transport, func(t *testing.T) {
			id := "f-" + transport
			script(t, dir, lines(
				"assigned true",
				fmt.Sprintf("identifier and alias 7 1 1 %s", ""),
				"window of two, none too large 0 1 2 3 4 5 6 7 8 9",
				"no local, retain as published 0 1 2 true",
				"retain handling 2 true",
				"shared 0 1 2 3 4 5 6 7 8 9",
				"expiry true true",
				"will gone v t",
				"taken over 142",
				"refused 134",
				"not authorized 135",
			), node, file, url, id)
		})
	}
}

func TestPythonPaho(t *testing.T) {
	python := foreign.NeedPython(t, "paho.mqtt.client")
	file, err := filepath.Abs("testdata/client.py")
	check(t, err)
	s := start(t, vfs.NewMem())
	ws, err := url.Parse(s.ws)
	check(t, err)
	for _, version := range []string{"4", "5"} {
		for transport, addr := range map[string]string{"tcp": s.tcp, "websockets": ws.Host} {
			t.Run(version+"/"+transport, func(t *testing.T) {
				id := "py-" + version + "-" + transport
				host, port, err := net.SplitHostPort(addr)
				check(t, err)
				script(t, t.TempDir(), lines(
					fmt.Sprintf("live %s/a|0|0|zero %[1]s/a|1|0|one %[1]s/retained|1|0|kept", id),
					fmt.Sprintf("resumed 0 1 %s/offline|1|0|0 %[1]s/offline|1|0|1 %[1]s/offline|1|0|2", id),
					fmt.Sprintf("retained %s/retained|1|1|kept", id),
					fmt.Sprintf("will %s/retained|1|0|gone", id),
				), python, file, host, port, version, id, transport)
			})
		}
	}
}
