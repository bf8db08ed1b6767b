package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"
)

// A statement sees who published a message and from where.
func TestRuleSeesPublisher(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	rule := `{"sql":"SELECT traceid() AS trace, sourceip() AS ip, principal() AS principal, clientid() AS client, topic(2) AS thing FROM 'sensors/+/climate'",
		"actions":[{"republish":{"topic":"devices/s1/config","qos":1,` + roleARN + `}}]}`
	if status, answer := p.curl("POST", "/rules/who", rule); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	got := d.sub("devices/s1/config")
	traces := map[string]bool{}
	for range 2 {
		d.mustPub("sensors/s1/climate", `{"temperature":1}`)
		var m struct{ Trace, IP, Principal, Client, Thing string }
		var payload string
		line := next(t, got)
		if _, err := fmt.Sscanf(line, "devices/s1/config %s", &payload); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if m.IP != "127.0.0.1" || m.Principal != d.id || m.Client == "" || m.Thing != "s1" {
			t.Errorf("got %s", payload)
		}
		if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(m.Trace) || traces[m.Trace] {
			t.Errorf("trace %q is no UUID, or that of another message", m.Trace)
		}
		traces[m.Trace] = true
	}
}

// A statement reads the table that the application writes.
func TestRuleReadsTable(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	if status, answer := p.curl("PUT", "/tables/limits/s1", `{"max":40}`); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	rule := `{"sql":"SET @limit = get_dynamodb('limits', 'thing', topic(2), 'arn:aws:iam::123456789012:role/x') SELECT temperature, @limit.max AS max FROM 'sensors/+/climate' WHERE temperature > @limit.max",
		"actions":[{"republish":{"topic":"devices/s1/config","qos":1,` + roleARN + `}}]}`
	if status, answer := p.curl("POST", "/rules/limit", rule); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	got := d.sub("devices/s1/config")
	d.mustPub("sensors/s1/climate", `{"temperature":39}`)
	d.mustPub("sensors/s1/climate", `{"temperature":41}`)
	if line := next(t, got); line != `devices/s1/config {"temperature":41,"max":40}` {
		t.Errorf("got %s", line)
	}
}

// A start with another window goes on with the data folder: the stream is
// aggregated anew.
func TestAnotherWindow(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	base := time.Now().UnixMilli()/10_000*10_000 - 60_000
	publish := func(from, to int) (all []reading) {
		var payloads []string
		for n := from; n < to; n++ {
			r := reading{thing: "s1", N: n, TS: base + int64(n)*500, Temperature: float64(20 + n%5)}
			all, payloads = append(all, r), append(payloads, r.String())
		}
		d.publishAll("sensors/s1/climate", payloads)
		return all
	}
	all := publish(0, 20)
	p.eventually("windows of a second", func() error {
		got, err := metricsIn(p.lines("metrics"))
		if err != nil {
			return err
		}
		return sameMetrics(got, oracle(1000, all))
	})
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.args = append(p.args, "-window", "5s") // the last one counts
	p.run()
	all = append(all, publish(20, 40)...)
	want := oracle(5000, all)
	p.eventually("windows of five seconds, of what came before too", func() error {
		_, answer := p.curl("GET", "/tables/metrics/s1", "")
		var rows []metric
		if err := json.Unmarshal([]byte(answer), &rows); err != nil {
			return err
		}
		got := map[string]metric{}
		for _, m := range rows {
			if m.WindowEnd-m.WindowStart == 5000 {
				got[fmt.Sprintf("%s %d", m.Thing, m.WindowStart)] = m
			}
		}
		return sameMetrics(got, want)
	})
}

// A rule republishes at the QoS that it says, 0 unless it says 1.
func TestRepublishQoS(t *testing.T) {
	p := start(t)
	d := p.device("s1")
	for name, qos := range map[string]string{"default": "", "zero": `"qos":0,`, "one": `"qos":1,`} {
		for topic, headers := range map[string]string{"plain": "", "headed": `"headers":{"contentType":"x"},`} {
			rule := fmt.Sprintf(`{"sql":"SELECT * FROM 'sensors/s1/x'","actions":[{"republish":{"topic":"devices/s1/%s/%s",%s%s%s}}]}`, name, topic, qos, headers, roleARN)
			if status, answer := p.curl("POST", "/rules/"+name+topic, rule); status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
		}
	}
	got := p.subFormat(d.flags(), "%t %q", "devices/s1/#")
	d.mustPub("sensors/s1/x", "{}")
	var all []string
	for range 6 {
		all = append(all, next(t, got))
	}
	slices.Sort(all)
	if want := []string{"devices/s1/default/headed 0", "devices/s1/default/plain 0", "devices/s1/one/headed 1", "devices/s1/one/plain 1", "devices/s1/zero/headed 0", "devices/s1/zero/plain 0"}; !slices.Equal(all, want) {
		t.Errorf("got %q, want %q", all, want)
	}
}
