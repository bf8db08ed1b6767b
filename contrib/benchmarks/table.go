package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// cases are the messages of the table: one that the everyday rule leaves out
// and one that it takes.
var cases = [][]byte{payload("21.5", 300), payload("31.5", 300)}

const runs = 3

// table prints, in Markdown, the everyday rule by everybody, medians of
// interleaved runs, and how many times faster than the best peer each is.
func table(w io.Writer, d time.Duration, bin string) error {
	all, err := contenders()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	k, absent := startKuiper(bin, filepath.Join(dir, "kuiper"))
	if absent == nil {
		defer k.Stop()
		if err := k.same(); err != nil {
			return err
		}
		all = append(all, contender{name: "eKuiper, its whole program", peer: true, rate: k.rate})
	}
	rates := make([][][]float64, len(all)) // of each contender, for each case, in each run
	for i := range rates {
		rates[i] = make([][]float64, len(cases))
	}
	for range runs {
		for j, p := range cases {
			for i, c := range all {
				rate, err := c.measure(d, p)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				rates[i][j] = append(rates[i][j], rate)
			}
		}
	}
	best := make([]float64, len(cases)) // of the peers
	for i, c := range all {
		for j := range cases {
			slices.Sort(rates[i][j])
			if c.peer {
				best[j] = max(best[j], rates[i][j][runs/2])
			}
		}
	}
	fmt.Fprint(w, "| messages per CPU-second | no match | to best peer | match | to best peer |\n|---|---|---|---|---|\n")
	for i, c := range all {
		fmt.Fprintf(w, "| %s |", c.name)
		for j := range cases {
			rate := rates[i][j][runs/2]
			fmt.Fprintf(w, " %.0f k | %.1f |", rate/1000, rate/best[j])
		}
		fmt.Fprintln(w)
	}
	if absent != nil {
		fmt.Fprintf(w, "| eKuiper, its whole program | - | - | - | - |\n\n-: %v\n", absent)
	}
	return nil
}

// measure is how many messages the contender takes in a second of CPU time.
func (c *contender) measure(d time.Duration, payload []byte) (float64, error) {
	if c.rate != nil {
		return c.rate(d, payload)
	}
	return once(d, func() error { _, err := c.do(payload); return err })
}

// same says whether eKuiper makes of the messages what all others do; those
// are compared with each other by the tests.
func (k *kuiper) same() error {
	for i, p := range cases {
		out, err := k.first(p)
		if err != nil {
			return err
		}
		if i == 0 && out == nil {
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			return fmt.Errorf("eKuiper makes %q of a message: %w", out, err)
		}
		delete(got, "ts")
		text, _ := json.Marshal(got)
		if i == 0 || !bytes.Equal(text, []byte(`{"deviceId":"sensor-0042","temperature":31.5}`)) || !bytes.Contains(out, []byte(`"ts":1`)) {
			return fmt.Errorf("eKuiper makes %s of %s", out, p)
		}
	}
	return nil
}
