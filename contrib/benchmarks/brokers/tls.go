package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// idleTLS opens connections with TLS, a subscription each, and prints what one costs the broker in memory.
func idleTLS(t *target, dir string, n int, settle time.Duration) error {
	p, err := start(t, dir, []string{"-tls"})
	if err != nil {
		return err
	}
	defer p.stop()
	before, err := residentKiB(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	conns := make([]*tls.Conn, n)
	errs := make([]error, 16)
	var all sync.WaitGroup
	for w := range errs {
		all.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				conns[i], errs[w] = subscribed(p.addr, i)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	time.Sleep(settle)
	after, err := residentKiB(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("%d idle connections with TLS: %.1f MB before, %.1f MB after %v, %.1f KiB each\n", n, before/1024, after/1024, settle, (after-before)/float64(n))
	for _, c := range conns {
		c.Close()
	}
	return nil
}

// subscribed is a connection with TLS whose client has a subscription of its own.
func subscribed(addr string, i int) (*tls.Conn, error) {
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // its certificate is made at its start
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("idle-%06d", i)
	filter := "idle/" + id
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	subscribe := append([]byte{0x82, byte(5 + len(filter)), 0, 1, 0, byte(len(filter))}, filter...)
	if _, err := c.Write(append(connect, append(subscribe, 0)...)); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(c, make([]byte, 4+5)) // CONNACK and SUBACK
	return c, err
}

// residentKiB is the memory of a process that is in the machine's.
func residentKiB(pid int) (float64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	return strconv.ParseFloat(strings.Fields(rest)[0], 64)
}
