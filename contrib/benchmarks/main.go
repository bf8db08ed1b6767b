package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

func main() {
	d := flag.Duration("time", time.Second, "how long each of three runs takes")
	bin := flag.String("bin", "", "folder of kuiperd, if it is not on PATH")
	svg := flag.String("svg", "", "file to draw the curves into")
	flag.Parse()
	if err := run(os.Stdout, *d, *bin, *svg); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, d time.Duration, bin, svg string) error {
	fmt.Fprintf(w, "%s, %s/%s, %d processors\n%s\npayload of 300 bytes, messages per second of CPU time\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), everyday)
	if err := table(w, d, bin); err != nil {
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
