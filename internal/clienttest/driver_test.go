package clienttest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A driver is a program with a client library inside: testdata/device.js or device.py. It does what its standard input
// says and tells on its standard output, so that the features of the matrix are written once.
type driver struct {
	mu      sync.Mutex
	in      io.WriteCloser
	last    int
	waiting map[int]chan answer
	boxes   map[string]*inbox
	errs    bytes.Buffer
}

// An answer is one line of a driver: to a command, or what a device got.
type answer struct {
	connack
	ID      int      `json:"id"`
	Failed  string   `json:"failed"`
	Codes   []int    `json:"codes"`
	Conn    string   `json:"conn"`
	Message *message `json:"message"`
	Closed  *int     `json:"closed"`
}

// drive starts program in dir until the test ends.
func drive(t *testing.T, dir, program string, args ...string) *driver {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	d := &driver{waiting: map[int]chan answer{}, boxes: map[string]*inbox{}}
	cmd.Stderr = &d.errs
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	d.in = in
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			d.take(lines.Bytes())
		}
	}()
	t.Cleanup(func() {
		in.Close() // and the program ends
		<-done
		_ = cmd.Wait() // it may have been killed with the test
		if t.Failed() && d.errs.Len() > 0 {
			t.Logf("%s: %s", program, d.errs.String())
		}
	})
	return d
}

// driver is the one of name, which start makes at first: programs take a while to load their libraries.
func (s *server) driver(name string, start func() *driver) *driver {
	if s.drivers[name] == nil {
		s.drivers[name] = start()
	}
	return s.drivers[name]
}

func (d *driver) take(line []byte) {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		a.Failed = fmt.Sprintf("the line %q: %v", line, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	box := d.boxes[a.Conn]
	switch {
	case a.Message != nil && box != nil:
		box.messages <- *a.Message
	case a.Closed != nil && box != nil:
		select {
		case box.closed <- *a.Closed:
		default:
		}
	case d.waiting[a.ID] != nil:
		d.waiting[a.ID] <- a
		delete(d.waiting, a.ID)
	}
}

// do sends a command, with the fields of o in it, and waits for its answer.
func (d *driver) do(t *testing.T, conn, op string, o map[string]any) answer {
	t.Helper()
	o["conn"], o["op"] = conn, op
	back := make(chan answer, 1)
	d.mu.Lock()
	d.last++
	o["id"] = d.last
	d.waiting[d.last] = back
	text, err := json.Marshal(o)
	if err == nil {
		_, err = d.in.Write(append(text, '\n'))
	}
	d.mu.Unlock()
	check(t, err)
	select {
	case a := <-back:
		if a.Failed != "" && a.Code == 0 {
			t.Fatalf("%s of %s: %s", op, conn, a.Failed)
		}
		return a
	case <-time.After(patience):
		t.Fatalf("%s of %s: no answer", op, conn)
		return answer{}
	}
}

// A driven is a device of a driver.
type driven struct {
	d    *driver
	conn string
	in   *inbox
}

func (d *driver) connect(t *testing.T, c connection) (device, connack) {
	t.Helper()
	d.mu.Lock()
	one := &driven{d, fmt.Sprint(len(d.boxes)), newInbox()}
	d.boxes[one.conn] = one.in
	d.mu.Unlock()
	text, err := json.Marshal(c)
	check(t, err)
	o := map[string]any{}
	check(t, json.Unmarshal(text, &o))
	return one, d.do(t, one.conn, "connect", o).connack
}

func (one *driven) box() *inbox { return one.in }

func (one *driven) subscribe(t *testing.T, identifier int, filters ...filter) []int {
	t.Helper()
	return one.d.do(t, one.conn, "subscribe", map[string]any{"filters": filters, "identifier": identifier}).Codes
}

func (one *driven) unsubscribe(t *testing.T, filter string) {
	t.Helper()
	one.d.do(t, one.conn, "unsubscribe", map[string]any{"filter": filter})
}

func (one *driven) publish(t *testing.T, m message) int {
	t.Helper()
	return one.d.do(t, one.conn, "publish", map[string]any{"message": m}).Code
}

func (one *driven) leave(t *testing.T) {
	t.Helper()
	one.d.do(t, one.conn, "leave", map[string]any{})
}

func (one *driven) kill(t *testing.T) {
	t.Helper()
	one.d.do(t, one.conn, "kill", map[string]any{})
}
