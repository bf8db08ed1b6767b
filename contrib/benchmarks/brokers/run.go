package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// once starts the target, loads it and ends it.
func (b *bench) once(r *row, t *target) (*result, error) {
	p, err := b.start(r, t)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if r.secure {
		return p.loadTLS(r.flags, b.settle)
	}
	args := append(r.arguments(b.duration, b.settle), "-addr", p.addr(), "-pid", strconv.Itoa(p.cmd.Process.Pid))
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

// A process is a target that serves.
type process struct {
	site
	cmd   *exec.Cmd
	ended chan error
}

// start starts t on a free port, as r wants it, and waits until it accepts connections.
func (b *bench) start(r *row, t *target) (*process, error) {
	p := &process{ended: make(chan error, 1)}
	var err error
	if p.dir, err = os.MkdirTemp(b.dir, t.name); err != nil {
		return nil, err
	}
	if r.secure {
		if p.cert, p.key, err = certificate(p.dir); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	command, err := t.command(t.program, &p.site)
	if err != nil {
		return nil, err
	}
	for _, own := range strings.Fields(r.own) {
		if own == "DIR" {
			own = filepath.Join(p.dir, "data")
		}
		command = append(command, own)
	}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir = p.dir
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	for range 600 {
		if c, err := net.Dial("tcp", p.addr()); err == nil {
			c.Close()
			time.Sleep(200 * time.Millisecond) // what it does at its start is not to be measured
			return p, nil
		}
		select {
		case err := <-p.ended:
			os.RemoveAll(p.dir)
			return nil, fmt.Errorf("it ended at its start: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.stop()
	return nil, errors.New("it does not listen")
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	over := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	over.Stop()
	os.RemoveAll(p.dir)
}

// residentKiB is the memory of the process that is in the machine's.
func (p *process) residentKiB() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	return strconv.ParseFloat(strings.Fields(rest)[0], 64)
}

// cpu is the time that the process has spent on processors so far, in steps of a hundredth of a second.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The program's name may hold spaces; the numbered fields begin after its parenthesis.
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	var ticks int
	for _, field := range fields[11:13] { // in user and in system mode
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
