package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/thingloom/thingloom/contrib/benchmarks/internal/process"
)

// A bench is what one call of the command measures.
type bench struct {
	out              io.Writer
	bin, dir         string // of the programs; for files
	mqttload         string
	runs             int
	duration, settle time.Duration
	targets          []*target
	reasons          []string // of the dashes in the table
}

func (b *bench) measure(names, which []string) error {
	var chosen []*row
	for _, name := range which {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return fmt.Errorf("no row is called %q", name)
		}
		chosen = append(chosen, &rows[i])
	}
	var err error
	if b.targets, err = find(names, b.bin, b.dir); err != nil {
		return err
	}
	if slices.ContainsFunc(chosen, func(r *row) bool { return !r.secure }) {
		if b.mqttload, err = process.LookUp("mqttload", b.bin); err != nil {
			return err
		}
	}
	begin := time.Now()
	head, rule := "| per CPU-second |", "|---|"
	for _, t := range b.targets {
		head, rule = head+" "+t.title+" |", rule+"---|"
		if b.isLimit(t) {
			head, rule = head+" share of it |", rule+"---|"
		}
		if t.absent != nil {
			b.reasons = append(b.reasons, t.title+": "+t.absent.Error())
		} else if t.plain && t.name != "durable" && slices.ContainsFunc(chosen, func(r *row) bool { return r.secure }) {
			b.reasons = append(b.reasons, t.title+": it has no TLS")
		}
	}
	fmt.Fprintf(b.out, "%s\n%s\n", head, rule)
	for _, r := range chosen {
		b.line(r)
	}
	b.foot(time.Since(begin))
	return nil
}

// isLimit reports whether t is what Thingloom's figures are to be a share of.
func (b *bench) isLimit(t *target) bool {
	return t.name == "eventloop" && b.targets[0].name == "thingloom"
}

// line measures one row and prints it.
func (b *bench) line(r *row) {
	got := make([][]*result, len(b.targets))
	why := make([]error, len(b.targets))
	for range b.runs {
		for i, t := range b.targets {
			if !r.of(t) || t.absent != nil || r.secure && t.plain {
				continue
			}
			one, err := b.once(r, t)
			if err != nil {
				why[i] = err
				continue
			}
			got[i] = append(got[i], one)
		}
	}
	figures := make([]float64, len(b.targets))
	fmt.Fprintf(b.out, "| %s |", r.title)
	for i, t := range b.targets {
		text := "-"
		if why[i] != nil {
			b.reasons = append(b.reasons, fmt.Sprintf("%s, %s, %d of %d runs: %v", t.title, r.title, b.runs-len(got[i]), b.runs, why[i]))
		}
		if len(got[i]) > 0 {
			text, figures[i] = median(r, got[i])
		}
		fmt.Fprintf(b.out, " %s |", text)
		if b.isLimit(t) {
			text = ""
			if r.shared() && figures[0] > 0 && figures[i] > 0 {
				text = fmt.Sprintf(" %.0f %%", 100*figures[0]/figures[i])
			}
			fmt.Fprintf(b.out, "%s |", text)
		}
	}
	fmt.Fprintln(b.out)
	b.bars(r, figures)
}

// median is the middle of the results' figures, and its text with what went wrong beside it in any of them.
func median(r *row, results []*result) (string, float64) {
	var lost, failed, ended int64
	for _, one := range results {
		lost, failed, ended = lost+one.Lost, failed+one.Failures, ended+one.Disconnects
	}
	slices.SortFunc(results, func(a, b *result) int { return cmp.Compare(r.figure(a), r.figure(b)) })
	figure := r.figure(results[len(results)/2])
	text := fmt.Sprintf(r.format, figure)
	for _, wrong := range []struct {
		what string
		n    int64
	}{{"lost", lost}, {"not connected", failed}, {"disconnected", ended}} {
		if wrong.n > 0 {
			text += fmt.Sprintf(" (%d %s)", wrong.n, wrong.what)
		}
	}
	return text, figure
}

// bars says on the standard error where Thingloom falls short of a row's best broker, of 70 % of eventloop, or of 1.3
// times the relay's round trip.
func (b *bench) bars(r *row, figures []float64) {
	if r.own != "" || b.targets[0].name != "thingloom" || figures[0] == 0 {
		return
	}
	ours := figures[0]
	for i, t := range b.targets {
		f := figures[i]
		ahead := f > ours
		if r.less {
			ahead = f < ours
		}
		switch {
		case f == 0 || i == 0:
		case t.name == "eventloop":
			if r.shared() && ours < 0.7*f {
				fmt.Fprintf(os.Stderr, "%s: %.0f %% of eventloop\n", r.name, 100*ours/f)
			}
		case t.name == "relay":
			if strings.HasPrefix(r.name, "trip") && ours > 1.3*f {
				fmt.Fprintf(os.Stderr, "%s: %.2f times the relay's\n", r.name, ours/f)
			}
		case ahead:
			fmt.Fprintf(os.Stderr, "%s: %s is ahead, "+r.format+" against "+r.format+"\n", r.name, t.title, f, ours)
		}
	}
}

// foot prints what a reader of the table has to know.
func (b *bench) foot(took time.Duration) {
	var releases []string
	for _, t := range b.targets {
		if v := ""; t.absent == nil {
			if v = t.release(); v != "" {
				releases = append(releases, t.title+" "+strings.TrimPrefix(v, "v"))
			}
		}
	}
	fmt.Fprintf(b.out, "\nMedians of %d interleaved runs of %v, %s, %d processors, %v in all.\n", b.runs, b.duration, runtime.Version(), runtime.NumCPU(), took.Round(time.Second))
	if len(releases) > 0 {
		fmt.Fprintf(b.out, "\nReleases: %s.\n", strings.Join(releases, ", "))
	}
	if len(b.reasons) > 0 {
		fmt.Fprint(b.out, "\nDashes:\n\n")
		for _, why := range b.reasons {
			fmt.Fprintln(b.out, "-", why)
		}
	}
}
