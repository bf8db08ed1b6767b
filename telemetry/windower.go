package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// A Windower is the state of a Query: windows that are open, and the
// watermark. It has no clock and no goroutine, and is not safe for
// concurrent use.
//
// The watermark is the largest event time added less Lateness, or what
// Advance was given if that is later. It never moves back. A window takes
// records while its end is after the watermark.
type Windower struct {
	q    *Query
	opts WindowOptions

	watermark int64 // Unix nanoseconds; noTime at the start
	maxEvent  int64
	groups    map[string]*windowGroup
	earliest  int64 // no open window ends before it, in milliseconds
	stats     WindowStats

	// Scratch of add, so that a record allocates nothing.
	in     sql.Input
	host   [2]sql.Value // slotKey, slotEventTime
	keyBuf []byte
	group  []sql.Value
	values []sql.Value
}

const noTime = math.MinInt64

// windowGroup is the windows of one group, ordered by their start.
type windowGroup struct {
	values  []sql.Value
	windows []*window
}

type window struct {
	start, end int64 // milliseconds
	accs       []accumulator
}

// NewWindower returns an empty Windower.
func NewWindower(q *Query, opts *WindowOptions) *Windower {
	w := &Windower{q: q, opts: opts.withDefaults()}
	w.reset()
	return w
}

func (w *Windower) reset() {
	w.watermark, w.maxEvent, w.earliest = noTime, noTime, math.MaxInt64
	w.groups = make(map[string]*windowGroup)
	w.stats.Open = 0
}

// Watermark returns the watermark, the zero Time before the first record.
func (w *Windower) Watermark() time.Time {
	if w.watermark == noTime {
		return time.Time{}
	}
	return time.Unix(0, w.watermark).UTC()
}

// Stats returns the counters. They are not part of the state.
func (w *Windower) Stats() WindowStats { return w.stats }

// Add adds a record to its windows and moves the watermark. What it returns
// depends on the records before and their order alone, not on when Advance
// is called. An error means that the record is in no window: a *LateError,
// one that wraps ErrTooManyWindows, or a failure of the query's expressions.
func (w *Windower) Add(r *Record) error {
	w.host = [2]sql.Value{slotKey: sql.StringValue(r.Key), slotEventTime: sql.IntValue(r.Time.UnixMilli())}
	w.in = sql.Input{Payload: r.Value, Time: r.Time, Host: w.host[:]}
	err := w.add(r)
	// A record that WHERE leaves out, or that finds no room, is a sign of
	// time as any other.
	if t := r.Time.UnixNano(); t > w.maxEvent {
		w.maxEvent = t
		w.raise(saturatingSub(t, int64(w.opts.Lateness)))
	}
	return err
}

func saturatingSub(a, b int64) int64 {
	if c := a - b; c < a || b <= 0 {
		return c
	}
	return noTime + 1
}

func (w *Windower) raise(watermark int64) { w.watermark = max(w.watermark, watermark) }

func (w *Windower) add(r *Record) error {
	ctx, in := context.Background(), &w.in
	if w.q.where != nil {
		ok, err := w.q.where.True(ctx, in)
		if err != nil {
			w.stats.Failed++
			return fmt.Errorf("telemetry: WHERE: %w", err)
		}
		if !ok {
			w.stats.Filtered++
			return nil
		}
	}
	key := w.keyBuf[:0]
	w.group = w.group[:0]
	for _, g := range w.q.groups {
		v := w.host[slotKey]
		if g.path != "key" {
			var err error
			if v, err = g.expr.Eval(ctx, in); err != nil {
				w.stats.Failed++
				return fmt.Errorf("telemetry: GROUP BY: %w", err)
			}
			if v.Kind() == sql.Undefined {
				v = sql.NullValue()
			}
		}
		w.group = append(w.group, v)
		key = append(v.AppendJSON(key), 0) // JSON has no NUL
	}
	w.keyBuf = key
	w.values = w.values[:0]
	for _, x := range w.q.args {
		v, err := x.Eval(ctx, in)
		if err != nil {
			w.stats.Failed++
			return fmt.Errorf("telemetry: aggregate: %w", err)
		}
		w.values = append(w.values, v)
	}
	if w.q.window.kind == session {
		return w.addSession(r, key)
	}
	return w.addAligned(r, key)
}

// closed reports whether a window that ends at end, in milliseconds, takes no
// more records.
func (w *Windower) closed(end int64) bool {
	return w.watermark != noTime && end <= floorDiv(w.watermark, int64(time.Millisecond))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// addAligned adds to tumbling and hopping windows: all that are open, or none
// if there is no room for those that are new.
func (w *Windower) addAligned(r *Record, key []byte) error {
	t := r.Time.UnixMilli()
	g := w.groups[string(key)]
	late, fresh, open := 0, 0, 0
	for start := range w.q.window.starts(t) {
		switch {
		case w.closed(start + w.q.window.size):
			late++
		case g.find(start) == nil:
			fresh++
		default:
			open++
		}
	}
	if fresh+open == 0 {
		return w.late(r)
	}
	if w.stats.Open+fresh > w.opts.MaxWindows {
		return w.noRoom()
	}
	if late > 0 {
		w.stats.PartlyLate++
	}
	g = w.groupFor(g, key)
	for start := range w.q.window.starts(t) {
		end := start + w.q.window.size
		if w.closed(end) {
			continue
		}
		win := g.find(start)
		if win == nil {
			win = w.open(g, start, end)
		}
		w.accumulate(win, r)
	}
	w.stats.Records++
	return nil
}

// addSession adds to the session around t, which may join two that are open.
func (w *Windower) addSession(r *Record, key []byte) error {
	t := r.Time.UnixMilli()
	start, end := t, t+w.q.window.size
	g := w.groups[string(key)]
	var joined []*window
	if g != nil {
		for _, win := range g.windows {
			if win.start < end && t < win.end && !w.closed(win.end) {
				joined = append(joined, win)
			}
		}
	}
	if len(joined) == 0 {
		if w.closed(end) {
			return w.late(r)
		}
		if w.stats.Open >= w.opts.MaxWindows {
			return w.noRoom()
		}
		g = w.groupFor(g, key)
		joined = append(joined, w.open(g, start, end))
	}
	win := joined[0]
	for _, o := range joined[1:] {
		for i := range win.accs {
			win.accs[i].merge(o.accs[i])
		}
		win.start, win.end = min(win.start, o.start), max(win.end, o.end)
		g.windows = slices.DeleteFunc(g.windows, func(x *window) bool { return x == o })
		w.stats.Open--
	}
	win.start, win.end = min(win.start, start), max(win.end, end)
	w.accumulate(win, r)
	w.stats.Records++
	return nil
}

func (w *Windower) late(r *Record) error {
	w.stats.Late++
	return &LateError{Key: r.Key, Time: r.Time, Watermark: w.Watermark()}
}

func (w *Windower) noRoom() error {
	w.stats.NoRoom++
	return fmt.Errorf("%w: %d", ErrTooManyWindows, w.stats.Open)
}

func (w *Windower) groupFor(g *windowGroup, key []byte) *windowGroup {
	if g == nil {
		g = &windowGroup{values: slices.Clone(w.group)}
		w.groups[string(key)] = g
	}
	return g
}

// find may be called on nil. Groups have few windows open: a search from the
// newest is a comparison or two.
func (g *windowGroup) find(start int64) *window {
	if g == nil {
		return nil
	}
	for i := len(g.windows) - 1; i >= 0 && g.windows[i].start >= start; i-- {
		if g.windows[i].start == start {
			return g.windows[i]
		}
	}
	return nil
}

func (w *Windower) open(g *windowGroup, start, end int64) *window {
	win := &window{start: start, end: end, accs: make([]accumulator, len(w.q.aggs))}
	for i, a := range w.q.aggs {
		win.accs[i] = newAccumulator(a.fn)
	}
	i := len(g.windows)
	for i > 0 && g.windows[i-1].start > start {
		i--
	}
	g.windows = slices.Insert(g.windows, i, win)
	w.earliest = min(w.earliest, end)
	w.stats.Open++
	return win
}

func (w *Windower) accumulate(win *window, r *Record) {
	for i, a := range w.q.aggs {
		v := sql.BoolValue(true) // count(*) counts records
		if a.arg >= 0 {
			v = w.values[a.arg]
			if v.Kind() == sql.Undefined || v.Kind() == sql.Null {
				continue
			}
		}
		if !win.accs[i].add(v, r) {
			w.stats.NotNumbers++
		}
	}
}

// Advance moves the watermark to at least the given time (the zero Time
// leaves it) and returns the windows that are closed now, oldest end first, then
// by start and group. They are gone from w when Advance returns.
//
// A window is a Record of the group's key, with the start of the window as
// its Time; without key in GROUP BY its Key is the group's values joined with
// '/', "all" if there are none. Value has the members of the query's Columns.
func (w *Windower) Advance(watermark time.Time) iter.Seq[Record] {
	if !watermark.IsZero() && !watermark.Before(minTime) && !watermark.After(maxTime) {
		w.raise(watermark.UnixNano())
	}
	return slices.Values(w.close())
}

type closedWindow struct {
	*window
	group  string
	values []sql.Value
}

func (w *Windower) close() []Record {
	if !w.closed(w.earliest) {
		return nil
	}
	var done []closedWindow
	w.earliest = math.MaxInt64
	for key, g := range w.groups {
		g.windows = slices.DeleteFunc(g.windows, func(win *window) bool {
			if !w.closed(win.end) {
				w.earliest = min(w.earliest, win.end)
				return false
			}
			done = append(done, closedWindow{win, key, g.values})
			return true
		})
		if len(g.windows) == 0 {
			delete(w.groups, key)
		}
	}
	w.stats.Open -= len(done)
	slices.SortFunc(done, func(a, b closedWindow) int {
		switch {
		case a.end != b.end:
			return cmp.Compare(a.end, b.end)
		case a.start != b.start:
			return cmp.Compare(a.start, b.start)
		}
		return strings.Compare(a.group, b.group)
	})
	recs := make([]Record, 0, len(done))
	for _, c := range done {
		results := make([]sql.Value, len(c.accs))
		for i, a := range c.accs {
			results[i] = a.result()
		}
		r, ok, err := w.q.result(c.start, c.end, c.values, results)
		switch {
		case err != nil:
			w.stats.Broken++
		case !ok:
			w.stats.Rejected++
		default:
			w.stats.Closed++
			recs = append(recs, r)
		}
	}
	return recs
}

// lastEnd is the end of the open window that ends last.
func (w *Windower) lastEnd() (time.Time, bool) {
	end, ok := int64(math.MinInt64), false
	for _, g := range w.groups {
		for _, win := range g.windows {
			end, ok = max(end, win.end), true
		}
	}
	return time.UnixMilli(end), ok
}
