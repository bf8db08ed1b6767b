package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/contrib/benchmarks/internal/process"
)

// once starts the target, loads it and ends it.
func (b *bench) once(r *row, t *target) (*result, error) {
	s, err := b.start(r, t)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if r.secure {
		return s.loadTLS(r.flags, b.settle)
	}
	args := append(r.arguments(b.duration, b.settle), "-addr", s.addr(), "-pid", strconv.Itoa(s.ID()))
	out, err := exec.Command(b.mqttload, args...).Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) && len(exit.Stderr) > 0 {
			return nil, errors.New(strings.ReplaceAll(strings.TrimSpace(string(exit.Stderr)), "\n", "; "))
		}
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var one result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &one); err != nil {
		return nil, err
	}
	return &one, nil
}

// A serving is a target that serves.
type serving struct {
	site
	*process.Process
}

// start starts t on a free port, as r wants it, and waits until it accepts connections.
func (b *bench) start(r *row, t *target) (*serving, error) {
	s := &serving{}
	var err error
	if s.dir, err = os.MkdirTemp(b.dir, t.name); err != nil {
		return nil, err
	}
	if r.secure {
		if s.cert, s.key, err = certificate(s.dir); err != nil {
			return nil, err
		}
	}
	if s.port, err = process.FreePort(); err != nil {
		return nil, err
	}
	command, err := t.command(t.program, &s.site)
	if err != nil {
		return nil, err
	}
	for _, own := range strings.Fields(r.own) {
		if own == "DIR" {
			own = filepath.Join(s.dir, "data")
		}
		command = append(command, own)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = s.dir
	if s.Process, err = process.Start(cmd, s.addr()); err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	time.Sleep(200 * time.Millisecond) // what it does at its start is not to be measured
	return s, nil
}

func (s *serving) stop() {
	s.Stop()
	os.RemoveAll(s.dir)
}
