// Package process runs other programs for the benchmarks and tells, from Linux's /proc, what they cost.
package process

import (
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

// LookUp is the path of a program in the folder bin, if it is there, or on PATH.
func LookUp(program, bin string) (string, error) {
	if bin != "" {
		if path, err := exec.LookPath(filepath.Join(bin, program)); err == nil {
			return filepath.Abs(path)
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", errors.New("no program " + program + " in the folder or on PATH")
	}
	return path, nil
}

// FreePort is a port of 127.0.0.1 that nobody listened on a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// A Process is a program that was started and serves at an address.
type Process struct {
	pid     int
	process *os.Process
	ended   chan struct{}
	err     error // why it ended; set when ended is closed
}

// Start starts cmd and waits, at most a minute, until something accepts connections at addr.
func Start(cmd *exec.Cmd, addr string) (*Process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{pid: cmd.Process.Pid, process: cmd.Process, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	for range 600 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("it ended at its start: %v", p.err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.Stop()
	return nil, errors.New("it does not listen")
}

// Stop asks the process to end, and ends it if it does not within 5 s.
func (p *Process) Stop() {
	_ = p.process.Signal(syscall.SIGTERM) // nothing, if it has ended
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.process.Kill()
		<-p.ended
	}
}

// ID is the number that the system knows the process by.
func (p *Process) ID() int { return p.pid }

// ResidentKiB is the memory of the process that is in the machine's.
func (p *Process) ResidentKiB() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	if !found {
		return 0, fmt.Errorf("process %d has no memory", p.pid)
	}
	return strconv.ParseFloat(strings.Fields(rest)[0], 64)
}

// CPU is the time that the process has spent on processors so far, in steps of a hundredth of a second.
func (p *Process) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	// The program's name may hold spaces; the numbered fields begin after its parenthesis.
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d: too few fields in its statistics", p.pid)
	}
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
