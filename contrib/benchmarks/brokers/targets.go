package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// A target is a broker, or a bare forwarder, and the command that serves it on a port.
type target struct {
	name    string
	program string
	command func(t *target, dir string, port int) ([]string, error)
}

func listen(flag string) func(*target, string, int) ([]string, error) {
	return func(t *target, _ string, port int) ([]string, error) {
		return []string{t.program, flag, "127.0.0.1:" + strconv.Itoa(port)}, nil
	}
}

// find looks up the targets by name. Those of this module are built, those that come with the load generator are taken
// from bin, the others from PATH; one that is not to be had is said and left out.
func find(names []string, bin, dir string) ([]*target, error) {
	var found []*target
	for _, name := range names {
		t := &target{name: name}
		switch name {
		case "thingloom", "durable", "mochi":
			t.program = filepath.Join(dir, name)
			build := exec.Command("go", "build", "-o", t.program, "./brokers/"+name)
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				return nil, fmt.Errorf("build %s: %w", name, err)
			}
			t.command = listen("-addr")
		case "relay":
			t.program, t.command = filepath.Join(bin, name), listen("-listen")
		case "eventloop":
			t.program = filepath.Join(bin, name)
			t.command = func(t *target, _ string, port int) ([]string, error) {
				return []string{t.program, "-p", strconv.Itoa(port)}, nil
			}
		case "mosquitto":
			t.program = name
			t.command = configured("listener %d 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n")
		case "nats":
			t.program = "nats-server"
			t.command = configured("server_name: measured\nlisten: \"127.0.0.1:-1\"\njetstream { store_dir: \"" + filepath.Join(dir, "nats") + "\" }\nmqtt { listen: \"127.0.0.1:%d\" }\n")
		default:
			return nil, fmt.Errorf("no target is called %q", name)
		}
		if _, err := exec.LookPath(t.program); err != nil {
			fmt.Fprintf(os.Stderr, "left out: %v\n", err)
			continue
		}
		found = append(found, t)
	}
	return found, nil
}

// configured is for those that want a file, which names the port.
func configured(text string) func(*target, string, int) ([]string, error) {
	return func(t *target, dir string, port int) ([]string, error) {
		file := filepath.Join(dir, t.name+".conf")
		return []string{t.program, "-c", file}, os.WriteFile(file, fmt.Appendf(nil, text, port), 0o600)
	}
}
