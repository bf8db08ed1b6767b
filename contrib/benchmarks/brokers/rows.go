package main

import (
	"strings"
	"time"
)

// A row is one kind of load: what mqttload is told and the figure that counts.
type row struct {
	name, title string
	flags       string
	own         string // flags that thingloom, or durable, gets; it is then the only one measured
	secure      bool   // by connections with TLS of our own, which mqttload cannot open
	figure      func(*result) float64
	format      string
	less        bool // the lower figure is the better one
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

// shared reports whether the row is one where a bare forwarder's figure is the limit that a broker has a share of.
func (r *row) shared() bool {
	return r.own == "" && !r.secure && r.format == inThousands
}

// A result is what mqttload prints, as far as it is used here.
type result struct {
	PerCPU      float64 `json:"per_broker_cpu_s"`
	Rate        float64 `json:"received_per_s"`
	Lost        int64   `json:"lost"`
	Failures    int64   `json:"connect_failures"`
	Disconnects int64   `json:"disconnects"`
	RSS         float64 `json:"broker_rss_kib"`
	Each        float64 `json:"kib_per_connection"`
	Latency     struct {
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
}

func perCPU(r *result) float64   { return r.PerCPU / 1000 }
func rate(r *result) float64     { return r.Rate / 1000 }
func p99(r *result) float64      { return r.Latency.P99 }
func resident(r *result) float64 { return r.RSS / 1024 }
func each(r *result) float64     { return r.Each }

const inThousands = "%.0f k"

var rows = []row{
	{name: "fanin0", title: "fan-in 50 to 1, QoS 0", flags: "fanin -pubs 50 -subs 1 -qos 0 -window 32", figure: perCPU, format: inThousands},
	{name: "fanin1", title: "fan-in 50 to 1, QoS 1", flags: "fanin -pubs 50 -subs 1 -qos 1 -window 16", figure: perCPU, format: inThousands},
	{name: "pairs0", title: "200 pairs, QoS 0", flags: "p2p -pairs 200 -qos 0 -window 8", figure: perCPU, format: inThousands},
	{name: "pairs1", title: "200 pairs, QoS 1", flags: "p2p -pairs 200 -qos 1 -window 8", figure: perCPU, format: inThousands},
	{name: "fanout0", title: "fan-out 1 to 500, QoS 0", flags: "fanout -pubs 1 -subs 500 -qos 0 -window 16", figure: perCPU, format: inThousands},
	{name: "fanout1", title: "fan-out 1 to 500, QoS 1", flags: "fanout -pubs 1 -subs 500 -qos 1 -window 16", figure: perCPU, format: inThousands},
	{name: "bursts", title: "bursts of 32, 50 to 1, QoS 0", flags: "fanin -pubs 50 -subs 1 -qos 0 -window 64 -batch 32", figure: perCPU, format: inThousands},
	{name: "storm", title: "connects", flags: "storm -conns 5000", figure: perCPU, format: "%.1f k"},
	{name: "tlsstorm", title: "connects with TLS", flags: "-conns 2000", secure: true, figure: perCPU, format: "%.2f k"},
	{name: "trip0", title: "round trip p99 at 2,000/s, QoS 0, µs", flags: "pingpong -pairs 10 -qos 0 -rate 2000", figure: p99, format: "%.0f", less: true},
	{name: "trip1", title: "round trip p99 at 2,000/s, QoS 1, µs", flags: "pingpong -pairs 10 -qos 1 -rate 2000", figure: p99, format: "%.0f", less: true},
	{name: "idle", title: "MB resident, 10,000 idle with a subscription each", flags: "idle -conns 10000 -rate 4000 -subscribe -duration 1s", figure: resident, format: "%.1f", less: true},
	{name: "tlsidle", title: "KiB each, 10,000 idle with TLS and a subscription each", flags: "-conns 10000 -subscribe", secure: true, figure: each, format: "%.1f", less: true},
	{name: "few", title: "fan-in QoS 1 beside 10 other subscriptions", flags: "fanin -pubs 50 -subs 1 -qos 1 -window 16", own: "-filters 10", figure: perCPU, format: inThousands},
	{name: "million", title: "fan-in QoS 1 beside 1,000,000 other subscriptions", flags: "fanin -pubs 50 -subs 1 -qos 1 -window 16", own: "-filters 1000000", figure: perCPU, format: inThousands},
	{name: "clean", title: "200 pairs QoS 1, clean sessions, messages/s", flags: "p2p -pairs 200 -qos 1 -window 8", own: "-sessions clean -pebble DIR", figure: rate, format: inThousands},
	{name: "durable", title: "200 pairs QoS 1, persistent sessions on disk, messages/s", flags: "p2p -pairs 200 -qos 1 -window 8", own: "-sessions persistent -pebble DIR", figure: rate, format: inThousands},
}

// arguments are those of mqttload for the row.
func (r *row) arguments(duration, settle time.Duration) []string {
	args := strings.Fields(r.flags)
	if args[0] == "idle" {
		args = append(args, "-settle", settle.String())
	}
	if args[0] != "storm" && args[0] != "idle" {
		args = append(args, "-duration", duration.String())
	}
	return args
}
