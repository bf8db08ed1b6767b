package main

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/foreign"
)

// SIGKILL in the middle of scenario 3, again and again: every acknowledged
// message is in the files exactly once after the restarts.
func TestKillLosesNothing(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	now := time.Now().UnixMilli()
	var want []reading
	for round, acks := range []int{1, 400, 2500} {
		from := 1_000_000 * (round + 1) // no two rounds share a number
		acked := p.killAfter(d, acks, func(n int) reading {
			return reading{thing: "s1", N: from + n, TS: now + int64(from/100+n), Temperature: float64(n % 10)}
		})
		t.Logf("%d acknowledged before SIGKILL", len(acked))
		want = append(want, acked...)
		p.run()
		p.eventually("every acknowledged message in the files", func() error { return onceEach(p.lines("raw"), want) })
	}
	// And it goes on: what comes after the restart arrives too, and a clean stop loses nothing either.
	last := reading{thing: "s1", N: 1, TS: now + 60_000, Temperature: 1}
	d.publishAll("sensors/s1/climate", []string{last.String()})
	if err := p.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	p.run()
	want = append(want, last)
	p.eventually("the message before the clean stop", func() error { return onceEach(p.lines("raw"), want) })
}

// killAfter publishes the readings make(1), make(2)... without pause, kills the
// backend when so many are acknowledged, and returns all that were.
func (p *process) killAfter(d *device, acks int, make func(n int) reading) (acked []reading) {
	t := p.t
	t.Helper()
	// The publisher prints "received PUBACK (Mid: n" for each acknowledged line; mids count from 1.
	cmd := exec.Command(foreign.Need(t, "stdbuf"), append([]string{"-oL", foreign.Need(t, "mosquitto_pub"), "-d", "-l", "-t", "sensors/s1/climate"}, d.flags()...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		for n := 1; ; n++ {
			if _, err := io.WriteString(in, make(n).String()+"\n"); err != nil {
				return
			}
		}
	})
	killed := false
	scan(out, func(line string) {
		i := strings.Index(line, "received PUBACK (Mid: ")
		if i < 0 {
			return
		}
		var mid int
		fmt.Sscanf(line[i:], "received PUBACK (Mid: %d", &mid)
		acked = append(acked, make(mid))
		if len(acked) == acks {
			killed = true
			p.kill()
			cmd.Process.Kill()
		}
	})
	feeding.Wait()
	cmd.Wait()
	if !killed {
		t.Fatalf("mosquitto_pub ended after %d acknowledgements", len(acked))
	}
	return acked
}
