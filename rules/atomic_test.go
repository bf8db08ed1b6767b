package rules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestEditsAreAtomic edits ten thousand times at random while messages flow.
// Some rules are replaced all the time, by versions that differ in statement,
// filter and action at once; others come, go, and are switched. Of each message
// one version of each permanent rule must have fired, neither two nor none, and
// what fired must fit together.
func TestEditsAreAtomic(t *testing.T) {
	t.Run("small groups", func(t *testing.T) { checkAtomic(t, 10_000, "", 0) })
	t.Run("large groups", func(t *testing.T) { checkAtomic(t, 10_000, " WHERE a >= 1 AND b = 'y' AND c <> 3", 14) })
	t.Run("beside Handle", func(t *testing.T) { checkAtomic(t, 2_000, " WHERE a >= 1 AND same(a) = a", 0) })
}

// checkAtomic has rules with that condition among so many others with each
// filter, which no message concerns.
func checkAtomic(t *testing.T, edits int, where string, others int) {
	const permanent, fleeting, publishers = 8, 8, 3
	var fired sync.Map // "<trace> <rule>" -> *atomic.Int64
	var live atomic.Int64
	check := maker(func(s ActionSpec) (Action, error) {
		live.Add(1)
		return &checked{want: string(s.Params), fired: &fired, open: &live, t: t}, nil
	})
	e := open(t, NewMemStore(), binder{"check": check}, &Options{Patience: time.Hour, Compile: &CompileOptions{Funcs: &Funcs{
		User: []Function{{Name: "same", Fn: func(x float64) float64 { return x }}}}}})
	// All filters match a/b, in different parts of the tree.
	filters := []string{"a/b", "a/+", "+/b", "+/+", "a/#", "#", "+/#"}
	version := func(name string, n int) Rule {
		return Rule{Name: name, SQL: fmt.Sprintf("SELECT %d AS v FROM '%s'%s", n, filters[n%len(filters)], where),
			Actions: []ActionSpec{{Type: "check", Params: fmt.Appendf(nil, `{"v":%d}`, n)}}}
	}
	for i := range permanent {
		if _, err := e.Create(t.Context(), version(fmt.Sprint("p", i), i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range others {
		for j, filter := range filters {
			put(t, e, fmt.Sprintf("other%d_%d", i, j), fmt.Sprintf("SELECT * FROM '%s' WHERE a = %d", filter, -i-2), "check")
		}
	}
	var wg sync.WaitGroup
	var stop atomic.Bool
	counts := make([]int, publishers)
	for p := range publishers {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				trace := fmt.Sprint(p, ".", i)
				if err := e.Handle(t.Context(), &Message{Topic: "a/b", TraceID: trace, Payload: []byte(`{"a":1,"b":"y","c":2}`)}); err != nil {
					t.Error(err)
					return
				}
				counts[p]++
				for r := range permanent {
					n, ok := fired.LoadAndDelete(trace + " p" + strconv.Itoa(r))
					if !ok || n.(*atomic.Int64).Load() != 1 {
						t.Errorf("message %s fired rule p%d %v times", trace, r, n)
						return
					}
				}
				for r := range fleeting {
					if n, ok := fired.LoadAndDelete(trace + " f" + strconv.Itoa(r)); ok && n.(*atomic.Int64).Load() != 1 {
						t.Errorf("message %s fired rule f%d %v times", trace, r, n)
						return
					}
				}
			}
		})
	}
	var editors sync.WaitGroup
	for editor := range 2 {
		rng := rand.New(rand.NewPCG(uint64(editor), 9))
		editors.Go(func() {
			for i := range edits / 2 {
				n := editor + 2*i
				name := fmt.Sprint("f", editor+2*rng.IntN(fleeting/2)) // each editor has its own
				var err error
				switch rng.IntN(6) {
				case 0, 1:
					err = e.Put(t.Context(), version(fmt.Sprint("p", rng.IntN(permanent)), n))
				case 2:
					_, err = e.Replace(t.Context(), version(fmt.Sprint("p", rng.IntN(permanent)), n))
				case 3:
					err = e.Put(t.Context(), version(name, n))
				case 4:
					if _, absent := e.Rule(name); absent == nil {
						err = e.Delete(t.Context(), name)
					}
				case 5:
					if info, absent := e.Rule(name); absent == nil {
						if info.Disabled {
							err = e.Enable(t.Context(), name)
						} else {
							err = e.Disable(t.Context(), name)
						}
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	editors.Wait()
	stop.Store(true)
	wg.Wait()
	sent := uint64(0)
	for p, n := range counts {
		if n == 0 {
			t.Errorf("publisher %d sent nothing", p)
		}
		sent += uint64(n)
	}
	for info := range e.Rules() {
		l := info.Ledger
		switch {
		case l.Pending != 0 || l.Failed != 0 || l.Matched != l.Delivered+l.Filtered:
			t.Errorf("ledger of %s: %+v", info.Name, l)
		case info.Name[0] == 'p' && (l.Delivered != sent || l.Filtered != 0), info.Name[0] == 'o' && l.Filtered != sent, l.Matched > sent:
			t.Errorf("ledger of %s after %d messages: %+v", info.Name, sent, l)
		}
	}
	if n := live.Load(); n != int64(e.Stats().Rules) {
		t.Errorf("%d actions are open for %d rules", n, e.Stats().Rules)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if n := live.Load(); n != 0 {
		t.Errorf("%d actions are open after Close", n)
	}
}

// checked is an action that fits one version of a rule alone.
type checked struct {
	want   string
	fired  *sync.Map
	open   *atomic.Int64
	closed atomic.Bool
	t      *testing.T
}

func (c *checked) Invoke(_ context.Context, f Firing) error {
	if got := string(f.Output); got != c.want {
		c.t.Errorf("%s: statement made %s, action is of %s", f.ID(), got, c.want)
	}
	if c.closed.Load() {
		c.t.Errorf("%s: the action has been closed", f.ID())
	}
	n, _ := c.fired.LoadOrStore(strings.Join([]string{f.Trace, f.Rule}, " "), new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	return nil
}

func (c *checked) Close() error {
	if c.closed.Swap(true) {
		c.t.Error("an action is closed twice")
	}
	c.open.Add(-1)
	return nil
}
