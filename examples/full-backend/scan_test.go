package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func scan(r io.Reader, line func(string)) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line(s.Text())
	}
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(b) {
		t.Fatalf("no certificate in %s", file)
	}
	return p
}

// lines are all lines of all files below a folder of the bucket. Files that
// are still being written have another name than *.jsonl and don't count.
func (p *process) lines(folder string) []string {
	p.t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Join(p.data, "bucket", folder), func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(file, ".jsonl") || strings.HasPrefix(e.Name(), ".") {
			return nil // a folder that is not there yet has no lines
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all = append(all, slices.Collect(strings.Lines(string(text)))...)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// A metric is one line of the metrics files, one row of the table, one event of the dashboard.
type metric struct {
	Thing       string  `json:"thing"`
	WindowStart int64   `json:"window_start"` // ms since the epoch
	WindowEnd   int64   `json:"window_end"`
	Avg         float64 `json:"avg"`
	Min         float64 `json:"min"`
	Max         float64 `json:"max"`
	Count       int     `json:"count"`
}

// metricsIn parses lines. A window that two lines tell of fails unless both agree.
func metricsIn(lines []string) (map[string]metric, error) {
	all := map[string]metric{}
	for _, line := range lines {
		var m metric
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, fmt.Errorf("%w in %q", err, line)
		}
		key := fmt.Sprintf("%s %d", m.Thing, m.WindowStart)
		if old, ok := all[key]; ok && old != m {
			return nil, fmt.Errorf("window %s twice: %+v and %+v", key, old, m)
		}
		all[key] = m
	}
	return all, nil
}

// oracle computes by hand what the windows of the given readings must hold.
func oracle(window int64, readings []reading) map[string]metric {
	all := map[string]metric{}
	for _, r := range readings {
		start := r.TS / window * window
		key := fmt.Sprintf("%s %d", r.thing, start)
		m, ok := all[key]
		if !ok {
			m = metric{Thing: r.thing, WindowStart: start, WindowEnd: start + window, Min: r.Temperature, Max: r.Temperature}
		}
		m.Min, m.Max = min(m.Min, r.Temperature), max(m.Max, r.Temperature)
		m.Avg = (m.Avg*float64(m.Count) + r.Temperature) / float64(m.Count+1)
		m.Count++
		all[key] = m
	}
	return all
}

// A reading is one message of a sensor.
type reading struct {
	thing       string
	N           int     `json:"n"`
	TS          int64   `json:"ts"` // ms since the epoch, the event time
	Temperature float64 `json:"temperature"`
}

func (r reading) String() string {
	b, _ := json.Marshal(r)
	return string(b)
}

// closeTo compares the averages by value, the rest exactly.
func closeTo(a, b metric) bool {
	d := a.Avg - b.Avg
	a.Avg, b.Avg = 0, 0
	return a == b && d < 1e-9 && d > -1e-9
}
