package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"
	"time"
)

func main() {
	d := flag.Duration("time", time.Second, "how long each run takes")
	runs := flag.Int("runs", 3, "runs of each row of the table, taken in turn; the best counts")
	svg := flag.String("svg", "", "file to draw the curves into")
	flag.Parse()
	if err := run(os.Stdout, *d, *runs, *svg); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, d time.Duration, runs int, svg string) error {
	fmt.Fprintf(w, "%s, %s/%s, %d processors\n%s\npayload of 300 bytes, messages per second of CPU time\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), everyday)
	if err := table(w, d, runs); err != nil {
		return err
	}
	if svg == "" {
		return nil
	}
	panels, err := curves(d / 4)
	if err != nil {
		return err
	}
	return os.WriteFile(svg, draw(panels), 0o644)
}

// table prints the everyday rule by everybody, and how many times faster than
// the best peer Thingloom is. Everybody has a run before anybody has another:
// what else the machine does then slows all of them.
func table(w io.Writer, d time.Duration, runs int) error {
	all, err := contenders()
	if err != nil {
		return err
	}
	cases := [][]byte{payload("21.5", 300), payload("31.5", 300)}
	rates := make([][]float64, len(cases))
	best := make([]float64, len(cases)) // of the peers
	for i, p := range cases {
		rates[i] = make([]float64, len(all))
		for range runs {
			for j, c := range all {
				rate, err := measure(d, func() error { _, err := c.do(p); return err })
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				rates[i][j] = max(rates[i][j], rate)
				if c.peer {
					best[i] = max(best[i], rate)
				}
			}
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tdoes not match\tto best peer\tmatches\tto best peer\t")
	for j, c := range all {
		fmt.Fprintf(tw, "%s\t%.0f\t%.1fx\t%.0f\t%.1fx\t\n", c.name, rates[0][j], rates[0][j]/best[0], rates[1][j], rates[1][j]/best[1])
	}
	return tw.Flush()
}
