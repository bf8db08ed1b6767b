package telemetry

import (
	"strconv"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

type windowKind byte

const (
	tumble windowKind = iota
	hop
	session
)

// A windowSpec is a window function; durations are whole milliseconds.
type windowSpec struct {
	kind   windowKind
	size   int64 // of the window; the gap of a session
	slide  int64 // from one window to the next
	offset int64 // of the first window after 1970
}

// starts yields where the windows begin that hold t, in milliseconds, the
// earliest first. Not for sessions.
func (w windowSpec) starts(t int64) func(yield func(int64) bool) {
	return func(yield func(int64) bool) {
		last := t - floorMod(t-w.offset, w.slide)
		n := (w.size - 1 - (t - last)) / w.slide
		for s := last - n*w.slide; s <= last; s += w.slide {
			if s+w.size > t && !yield(s) {
				return
			}
		}
	}
}

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

// maxHops is how many windows one record may belong to.
const maxHops = 1000

func (c *queryCompiler) windowArgs(kind windowKind, pos int) error {
	if err := c.p.ExpectPunct("("); err != nil {
		return err
	}
	first, err := c.interval()
	if err != nil {
		return err
	}
	w := windowSpec{kind: kind, size: first, slide: first}
	switch kind {
	case hop:
		if !c.p.AtPunct(",") {
			return c.p.Unexpected("a comma and the size of the window")
		}
		c.p.Punct(",")
		if w.size, err = c.interval(); err != nil {
			return err
		}
		if w.size/w.slide > maxHops {
			return c.errorf(pos, "a record would be in more than %d windows", maxHops)
		}
		if w.slide > w.size {
			return c.errorf(pos, "HOP(slide, size): a slide larger than the size would leave records out")
		}
	case tumble:
		if c.p.Punct(",") {
			if w.offset, err = c.interval(); err != nil {
				return err
			}
		}
	}
	c.q.window = w
	return c.p.ExpectPunct(")")
}

var units = map[string]int64{
	"MILLISECOND": 1, "SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000, "WEEK": 7 * 86_400_000,
}

// maxInterval is a hundred years, far from where arithmetic overflows.
const maxInterval = 100 * 366 * 86_400_000

// interval reads INTERVAL 'n' UNIT, in milliseconds.
func (c *queryCompiler) interval() (int64, error) {
	if err := c.p.ExpectKeyword("INTERVAL"); err != nil {
		return 0, err
	}
	pos := c.p.Pos()
	text, err := c.p.Text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, c.errorf(pos, "an interval is a whole number above 0 in quotes, as INTERVAL '5' MINUTE")
	}
	unitPos := c.p.Pos()
	unit, err := c.p.Word()
	if err != nil {
		return 0, err
	}
	ms, ok := units[strings.TrimSuffix(strings.ToUpper(unit), "S")]
	if !ok {
		e := sql.ErrorAt(c.text, unitPos, "there is no unit "+unit)
		e.Expected = "MILLISECOND, SECOND, MINUTE, HOUR, DAY or WEEK"
		return 0, e
	}
	if n > maxInterval/ms {
		return 0, c.errorf(pos, "an interval is at most 100 years")
	}
	return n * ms, nil
}
