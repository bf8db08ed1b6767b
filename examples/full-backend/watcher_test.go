package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
)

// Everything that the defender counts of clients is told by the broker, once
// each, and of the thing that the client acts as.
func TestWatcher(t *testing.T) {
	cfg := defaults()
	cfg.Data = t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b, err := open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var now atomic.Int64 // slots since the beginning
	begin := time.Unix(1_800_000_000, 0).Truncate(5 * time.Minute)
	svc, err := defender.Open(ctx, registry.NewMemStore(), b.registry, &defender.Options{
		Now: func() time.Time { return begin.Add(time.Duration(now.Load()) * 5 * time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	b.watcher.svc.Store(svc)
	never := int64(1 << 40)
	var behaviors []defender.Behavior
	if err := svc.CreateDimension(ctx, defender.TopicDimension{Name: "foreign", Filters: []string{"sensors/other/#"}}); err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{"message-byte-size", "num-messages-sent", "num-messages-received", "num-authorization-failures", "num-connection-attempts", "num-disconnects", "disconnect-duration"} {
		behaviors = append(behaviors, defender.Behavior{Name: metric, Metric: "aws:" + metric, Criteria: &defender.Criteria{Operator: "greater-than", Value: &defender.Value{Count: &never}, Seconds: 300}})
	}
	behaviors = append(behaviors,
		defender.Behavior{Name: "source", Metric: "aws:source-ip-address", Criteria: &defender.Criteria{Operator: "in-cidr-set", Value: &defender.Value{CIDRs: []string{"10.0.0.0/8"}}, Seconds: 300}},
		defender.Behavior{Name: "foreign", Metric: "aws:num-authorization-failures", Dimension: &defender.Dimension{Name: "foreign"},
			Criteria: &defender.Criteria{Operator: "greater-than", Value: &defender.Value{Count: &never}, Seconds: 300}})
	if _, err := svc.CreateProfile(ctx, defender.Profile{Name: "p", Behaviors: behaviors}); err != nil {
		t.Fatal(err)
	}
	if err := svc.Attach(ctx, "p", b.registry.ARN("all/things")); err != nil {
		t.Fatal(err)
	}

	l, err := listenTCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.broker.Serve(ctx, tls.NewListener(l, b.tlsConfig())) }()
	config, err := b.simulated(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	s, code := dialSession(t, l.Addr().String(), config, "w-7") // it acts as w
	if code != 0 {
		t.Fatalf("CONNACK %#x", code)
	}
	for _, m := range []struct {
		topic string
		bytes int
		code  byte
	}{
		{"sensors/w/x", 40, 0}, {"sensors/w/y", 10, 0}, {"$aws/things/w/shadow/get", 0, 0},
		{"sensors/other/x", 90, 0x87}, {"devices/w/x", 90, 0x87},
	} {
		if code := s.publish(m.topic, make([]byte, m.bytes)...); code != m.code {
			t.Errorf("%s: PUBACK %#x", m.topic, code)
		}
	}
	const filter = "devices/w/#"
	s.Write(append(append([]byte{0x82, byte(6 + len(filter)), 0, 2, 0, 0, byte(len(filter))}, filter...), 0))
	if b := readPacket(t, s); b[0] != 0x90 || b[len(b)-1] != 0 {
		t.Fatalf("SUBACK % x", b)
	}
	if err := b.broker.Publish(ctx, "devices/w/config", []byte("c")); err != nil {
		t.Fatal(err)
	}
	if b := readPacket(t, s); b[0] != 0x30 {
		t.Fatalf("instead of a PUBLISH % x", b)
	}
	if _, code := dialSession(t, l.Addr().String(), config, "stranger"); code != 0x87 {
		t.Errorf("CONNACK %#x", code)
	}
	s.Close()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}

	now.Add(1)
	if err := svc.Evaluate(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	all, _, err := svc.ActiveViolations(t.Context(), defender.ViolationQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		text, err := json.Marshal(v.Value)
		if err != nil {
			t.Fatal(err)
		}
		got[v.Thing+" "+v.Behavior.Name] = string(text)
	}
	want := map[string]string{"w source": `{"cidrs":["127.0.0.1"]}`, "w foreign": `{"count":1}`}
	for metric, n := range map[string]int{"message-byte-size": 40, "num-messages-sent": 3, "num-messages-received": 1, "num-authorization-failures": 3,
		"num-connection-attempts": 1, "num-disconnects": 1, "disconnect-duration": 300} {
		want["w "+metric] = fmt.Sprintf(`{"count":%d}`, n)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is %s, want %s", name, got[name], want[name])
		}
	}
	if got["stranger num-connection-attempts"] != `{"count":1}` {
		t.Errorf("of the refused client is known: %v", got)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
}
