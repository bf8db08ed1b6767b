// Command brokers measures MQTT brokers side by side with the project's load generator and prints a table: one row for
// each kind of load, one column for each broker, medians of interleaved runs.
//
//	go run ./brokers -bin DIR [-rows fanin0,...] [-targets thingloom,...] [-runs 3] [-duration 2s]
//
// DIR holds the load generator, mqttload, and the bare forwarders that come with it, relay and eventloop.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A row is one kind of load: what mqttload is told and the figure that counts.
type row struct {
	name, title string
	flags       string
	own         string // flags that thingloom gets, and is then the only one measured
	figure      func(*result) float64
	format      string
}

// of reports whether the row is for a target: those on disk are for durable, those with flags of ours for thingloom, the
// others for all but durable.
func (r *row) of(t *target) bool {
	switch {
	case strings.Contains(r.own, "-pebble"):
		return t.name == "durable"
	case r.own != "":
		return t.name == "thingloom"
	}
	return t.name != "durable"
}

// A result is what mqttload prints, as far as it is used here.
type result struct {
	PerCPU  float64 `json:"per_broker_cpu_s"`
	Rate    float64 `json:"received_per_s"`
	Lost    int64   `json:"lost"`
	RSS     float64 `json:"broker_rss_kib"`
	Latency struct {
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
}

func perCPU(r *result) float64   { return r.PerCPU / 1000 }
func rate(r *result) float64     { return r.Rate / 1000 }
func p99(r *result) float64      { return r.Latency.P99 }
func resident(r *result) float64 { return r.RSS / 1024 }

const inThousands = "%.0f k"

var rows = []row{
	{"fanin0", "fan-in 50 to 1, QoS 0", "fanin -pubs 50 -subs 1 -qos 0 -window 32", "", perCPU, inThousands},
	{"fanin1", "fan-in 50 to 1, QoS 1", "fanin -pubs 50 -subs 1 -qos 1 -window 16", "", perCPU, inThousands},
	{"pairs0", "200 pairs, QoS 0", "p2p -pairs 200 -qos 0 -window 8", "", perCPU, inThousands},
	{"pairs1", "200 pairs, QoS 1", "p2p -pairs 200 -qos 1 -window 8", "", perCPU, inThousands},
	{"fanout0", "fan-out 1 to 500, QoS 0", "fanout -pubs 1 -subs 500 -qos 0 -window 16", "", perCPU, inThousands},
	{"fanout1", "fan-out 1 to 500, QoS 1", "fanout -pubs 1 -subs 500 -qos 1 -window 16", "", perCPU, inThousands},
	{"bursts", "bursts of 32, 50 to 1, QoS 0", "fanin -pubs 50 -subs 1 -qos 0 -window 64 -batch 32", "", perCPU, inThousands},
	{"storm", "connects", "storm -conns 5000", "", perCPU, "%.1f k"},
	{"trip0", "round trip p99 at 2,000/s, QoS 0, µs", "pingpong -pairs 10 -qos 0 -rate 2000", "", p99, "%.0f"},
	{"trip1", "round trip p99 at 2,000/s, QoS 1, µs", "pingpong -pairs 10 -qos 1 -rate 2000", "", p99, "%.0f"},
	{"idle", "MB resident, 10,000 idle with a subscription each", "idle -conns 10000 -rate 4000 -subscribe -duration 1s", "", resident, "%.1f"},
	{"few", "fan-in QoS 1 beside 10 other subscriptions", "fanin -pubs 50 -subs 1 -qos 1 -window 16", "-filters 10", perCPU, inThousands},
	{"million", "fan-in QoS 1 beside 1,000,000 other subscriptions", "fanin -pubs 50 -subs 1 -qos 1 -window 16", "-filters 1000000", perCPU, inThousands},
	{"clean", "200 pairs QoS 1, clean sessions, messages/s", "p2p -pairs 200 -qos 1 -window 8", "-sessions clean -pebble DIR", rate, inThousands},
	{"durable", "200 pairs QoS 1, persistent sessions on disk, messages/s", "p2p -pairs 200 -qos 1 -window 8", "-sessions persistent -pebble DIR", rate, inThousands},
}

func main() {
	log.SetFlags(0)
	bin := flag.String("bin", "", "folder of mqttload, relay and eventloop")
	names := flag.String("targets", "thingloom,eventloop,relay,mosquitto,mochi,nats", "what to measure")
	which := flag.String("rows", "fanin0,fanin1,pairs0,pairs1,fanout0,fanout1,bursts,storm,trip0,trip1,idle", "loads")
	runs := flag.Int("runs", 3, "interleaved runs, of which the median counts")
	duration := flag.Duration("duration", 2*time.Second, "of one run")
	tlsConns := flag.Int("tls", 0, "measure only this many idle connections with TLS, to thingloom")
	settle := flag.Duration("settle", 3*time.Second, "how long connections are idle before their memory is measured; Go's own collection of what is idle comes after two minutes")
	flag.Parse()
	dir, err := os.MkdirTemp("", "brokers")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := measure(*bin, dir, strings.Split(*names, ","), strings.Split(*which, ","), *runs, *duration, *settle, *tlsConns); err != nil {
		os.RemoveAll(dir)
		log.Fatal(err)
	}
}

func measure(bin, dir string, names, which []string, runs int, duration, settle time.Duration, tlsConns int) error {
	targets, err := find(names, bin, dir)
	if err != nil {
		return err
	}
	if tlsConns > 0 {
		return idleTLS(targets[0], dir, tlsConns, settle)
	}
	fmt.Print("| row |")
	for _, t := range targets {
		fmt.Printf(" %s |", t.name)
	}
	fmt.Println("\n|---|" + strings.Repeat("---|", len(targets)))
	for _, name := range which {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return fmt.Errorf("no row is called %q", name)
		}
		line(&rows[i], targets, bin, dir, runs, duration, settle)
	}
	return nil
}

// line measures one row and prints it.
func line(r *row, targets []*target, bin, dir string, runs int, duration, settle time.Duration) {
	got := make([][]*result, len(targets))
	for range runs {
		for i, t := range targets {
			if !r.of(t) {
				continue
			}
			one, err := once(r, t, bin, dir, duration, settle)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s, %s: %v\n", r.name, t.name, err)
				continue
			}
			got[i] = append(got[i], one)
		}
	}
	fmt.Printf("| %s |", r.title)
	for _, results := range got {
		if len(results) == 0 {
			fmt.Print(" - |")
			continue
		}
		var lost int64
		for _, one := range results {
			lost += one.Lost
		}
		slices.SortFunc(results, func(a, b *result) int { return cmp.Compare(r.figure(a), r.figure(b)) })
		fmt.Printf(" "+r.format, r.figure(results[len(results)/2]))
		if lost > 0 {
			fmt.Printf(" (lost %d)", lost)
		}
		fmt.Print(" |")
	}
	fmt.Println()
}

// once starts the target, loads it and ends it.
func once(r *row, t *target, bin, dir string, duration, settle time.Duration) (*result, error) {
	own := strings.Fields(r.own)
	for i, flag := range own {
		if flag == "DIR" {
			own[i] = filepath.Join(dir, "data")
			defer os.RemoveAll(own[i])
		}
	}
	p, err := start(t, dir, own)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	args := append(strings.Fields(r.flags), "-addr", p.addr, "-pid", strconv.Itoa(p.cmd.Process.Pid))
	if strings.HasPrefix(r.flags, "idle") {
		args = append(args, "-settle", settle.String())
	}
	if !strings.Contains(r.flags, "-duration") && !strings.HasPrefix(r.flags, "storm") {
		args = append(args, "-duration", duration.String())
	}
	out, err := exec.Command(filepath.Join(bin, "mqttload"), args...).Output()
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var one result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &one); err != nil {
		return nil, err
	}
	return &one, nil
}

type process struct {
	cmd  *exec.Cmd
	addr string
}

// start starts t on a free port and waits until it accepts connections.
func start(t *target, dir string, more []string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	command, err := t.command(t, dir, addr.Port)
	if err != nil {
		return nil, err
	}
	command = append(command, more...)
	p := &process{exec.Command(command[0], command[1:]...), addr.String()}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if c, err := net.Dial("tcp", p.addr); err == nil {
			c.Close()
			time.Sleep(200 * time.Millisecond) // what it does at its start is not to be measured
			return p, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen", t.name)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	over := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	over.Stop()
}
