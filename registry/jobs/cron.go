package jobs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A cron is a recurring time: cron(minutes hours day-of-month month
// day-of-week year), as at AWS, in UTC. Each field is a list of values,
// ranges a-b, steps a/n and */n; * and ? are any. Months and weekdays may be
// named; Sunday is 1.
type cron struct {
	minutes, hours, days, months, weekdays uint64 // bits
	years                                  [2]uint64
}

// firstYear is the year of bit 0.
const firstYear = 1970

var (
	monthNames   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

func parseCron(text string) (c cron, err error) {
	inner, ok := strings.CutPrefix(text, "cron(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !ok || !closed {
		return c, errors.New("is not cron(...)")
	}
	fields := strings.Fields(inner)
	if len(fields) == 7 { // seconds first, which must be 0
		if fields[0] != "0" {
			return c, errors.New("seconds are not 0")
		}
		fields = fields[1:]
	}
	if len(fields) != 6 {
		return c, fmt.Errorf("has %d fields, not 6", len(fields))
	}
	for i, f := range []struct {
		name      string
		to        []uint64
		low, high int
		names     []string
	}{
		{"minutes", []uint64{0}, 0, 59, nil}, {"hours", []uint64{0}, 0, 23, nil}, {"day of month", []uint64{0}, 1, 31, nil},
		{"month", []uint64{0}, 1, 12, monthNames}, {"day of week", []uint64{0}, 1, 7, weekdayNames}, {"year", []uint64{0, 0}, 0, 127, nil},
	} {
		offset := 0
		if f.name == "year" {
			offset = firstYear
		}
		if err := cronField(fields[i], f.to, f.low, f.high, offset, f.names); err != nil {
			return c, fmt.Errorf("%s: %w", f.name, err)
		}
		switch i {
		case 0:
			c.minutes = f.to[0]
		case 1:
			c.hours = f.to[0]
		case 2:
			c.days = f.to[0]
		case 3:
			c.months = f.to[0]
		case 4:
			c.weekdays = f.to[0]
		case 5:
			c.years = [2]uint64(f.to)
		}
	}
	if fields[2] != "?" && fields[2] != "*" && fields[4] != "?" && fields[4] != "*" {
		return c, errors.New("day of month and day of week are both given")
	}
	return c, nil
}

// cronField sets the bits of a field. Values are given with the offset, as years are.
func cronField(text string, bits []uint64, low, high, offset int, names []string) error {
	number := func(s string) (int, error) {
		for i, name := range names {
			if strings.EqualFold(name, s) {
				return low + i, nil
			}
		}
		n, err := strconv.Atoi(s)
		if n -= offset; err != nil || n < low || n > high {
			return 0, fmt.Errorf("%q is not %d to %d", s, low+offset, high+offset)
		}
		return n, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		from, to, step := low, high, 1
		if span != "*" && span != "?" {
			first, second, isRange := strings.Cut(span, "-")
			var err error
			if from, err = number(first); err != nil {
				return err
			}
			switch {
			case isRange:
				if to, err = number(second); err != nil {
					return err
				}
				if to < from {
					return fmt.Errorf("%q goes backwards", span)
				}
			case !stepped:
				to = from
			}
		}
		if stepped {
			var err error
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
				return fmt.Errorf("%q is no step", stepText)
			}
		}
		for n := from; n <= to; n += step {
			bits[n/64] |= 1 << (n % 64)
		}
	}
	return nil
}

func has(bits uint64, n int) bool { return bits&(1<<n) != 0 }

// next returns the first time after at, or zero if there is none in ten years.
func (c *cron) next(at time.Time) time.Time {
	at = at.UTC().Truncate(time.Minute).Add(time.Minute)
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	for range 10 * 366 {
		if year := day.Year() - firstYear; year < 0 || year > 127 {
			return time.Time{}
		} else if has(c.years[year/64], year%64) && has(c.months, int(day.Month())) && has(c.days, day.Day()) && has(c.weekdays, int(day.Weekday())+1) {
			for hour := range 24 {
				if !has(c.hours, hour) {
					continue
				}
				for minute := range 60 {
					t := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
					if has(c.minutes, minute) && !t.Before(at) {
						return t
					}
				}
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}
