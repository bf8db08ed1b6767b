package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/thingloom/thingloom/contrib/benchmarks/internal/process"
)

// A target is a broker, or a bare forwarder, and the command that serves it.
type target struct {
	name, title string
	program     string // a path, or a name that is looked for in the folder of the programs and on PATH
	command     func(program string, s *site) ([]string, error)
	version     []string // arguments that make it say its version
	plain       bool     // it has no TLS
	absent      error    // why it is not measured
}

// A site is where and how a target is to serve.
type site struct {
	dir       string // for its files; empty at its start, removed at its end
	port      int    // on 127.0.0.1
	cert, key string // files, if with TLS
}

func (s *site) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// known are the targets that there are. Those without a program are built from this module.
var known = []target{
	{name: "thingloom", title: "Thingloom", command: ours},
	{name: "durable", title: "Thingloom on disk", command: ours, plain: true},
	{name: "eventloop", title: "eventloop", program: "eventloop", command: eventloop, plain: true},
	{name: "relay", title: "relay", program: "relay", command: relay, plain: true},
	{name: "flashmq", title: "FlashMQ", program: "flashmq", command: flashmq, version: []string{"--version"}},
	{name: "mosquitto21", title: "Mosquitto 2.1", program: "mosquitto21", command: mosquitto, version: []string{"-h"}},
	{name: "mosquitto", title: "Mosquitto", program: "mosquitto", command: mosquitto, version: []string{"-h"}},
	{name: "nats", title: "NATS", program: "nats-server", command: nats, version: []string{"--version"}},
	{name: "mochi", title: "mochi", command: ours},
	{name: "comqtt", title: "comqtt", program: "comqtt", command: comqtt},
	{name: "fluxmq", title: "FluxMQ", program: "fluxmq", command: fluxmq},
}

// find looks up the targets by name. Those of this module are built, the others taken from bin, if they are there, or
// from PATH; one that is not to be had stays in the list with the reason.
func find(names []string, bin, dir string) ([]*target, error) {
	var found []*target
	for _, name := range names {
		var t *target
		for i := range known {
			if known[i].name == name {
				t = &known[i]
			}
		}
		switch {
		case t == nil:
			return nil, fmt.Errorf("no target is called %q", name)
		case t.program == "":
			t.program = filepath.Join(dir, name)
			build := exec.Command("go", "build", "-o", t.program, "./brokers/"+name)
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				return nil, fmt.Errorf("build %s: %w", name, err)
			}
		default:
			t.program, t.absent = process.LookUp(t.program, bin)
		}
		found = append(found, t)
	}
	return found, nil
}

var number = regexp.MustCompile(`v?\d+\.\d+\.\d+\S*`)

// release is the version of the target, as far as it can be had: what it says of itself, or what Go wrote into it, of
// the program or of the broker's module in one of ours.
func (t *target) release() string {
	if t.version != nil {
		out, _ := exec.Command(t.program, t.version...).CombinedOutput() // help may come with an exit code
		return string(number.Find(out))
	}
	info, err := buildinfo.ReadFile(t.program)
	if err != nil {
		return ""
	}
	if t.name == "mochi" {
		for _, m := range info.Deps {
			if m.Path == "github.com/mochi-mqtt/server/v2" {
				return m.Version
			}
		}
	}
	return number.FindString(info.Main.Version)
}
