package sql

import (
	"strconv"
	"strings"
	"time"
)

// jodaLetters are the pattern letters of Joda-Time's DateTimeFormat.
const jodaLetters = "GCYyxweEDMdaKhHkmsSzZ"

// maxTimePattern bounds a pattern of parse_time and time_to_epoch.
const maxTimePattern = 256

var timeFuncs = map[string]builtin{
	"parse_time": {2, 3, true, true, func(e *env, a []Value) Value {
		p, ok := e.text(a[0])
		if !ok || len(p) > maxTimePattern {
			return Value{}
		}
		fields, ok := splitPattern(p, jodaLetters)
		if !ok {
			return Value{}
		}
		return e.formatTime(fields, a[1:])
	}},
	"time_to_epoch": {2, 2, true, true, func(e *env, a []Value) Value {
		p, ok := e.text(a[1])
		if !ok || len(p) > maxTimePattern {
			return Value{}
		}
		fields, ok := javaPattern(p)
		if !ok {
			return Value{}
		}
		return e.parseTime(fields, a[0])
	}},
}

// prepareParseTime takes a literal pattern apart once.
func prepareParseTime(args []code, fn func(*env, []Value) Value) func(*env, []Value) Value {
	p := args[0].v
	if !args[0].konst || p.kind != String || len(p.s) > maxTimePattern {
		return fn
	}
	fields, ok := splitPattern(p.s, jodaLetters)
	if !ok {
		return fn
	}
	return func(e *env, a []Value) Value { return e.formatTime(fields, a[1:]) }
}

// formatTime is parse_time: the milliseconds a[0] in the zone a[1] or UTC.
func (e *env) formatTime(fields []field, a []Value) Value {
	n, ok := e.number(a[0])
	ms, fits := n.int64()
	if !ok || !fits {
		return Value{}
	}
	loc := time.UTC
	if len(a) > 1 {
		id, ok := e.text(a[1])
		if !ok || !e.charge(zoneWork) {
			return Value{}
		}
		if loc = e.p.zones.find(id); loc == nil {
			return Value{}
		}
	}
	t := time.UnixMilli(ms).In(loc)
	b := e.sc.grow(maxTimePattern)
	for _, f := range fields {
		b = f.format(b, t)
	}
	return e.string(b)
}

func (f field) format(b []byte, t time.Time) []byte {
	n := f.count
	year := t.Year()
	era := year
	if year < 1 {
		era = 1 - year
	}
	pad := func(v int) []byte { return appendPadded(b, v, n) }
	short := func(v int) []byte {
		if n == 2 {
			return appendPadded(b, max(v, -v)%100, 2)
		}
		return pad(v)
	}
	switch f.letter {
	case 0:
		return append(b, f.text...)
	case 'G':
		if year < 1 {
			return append(b, "BC"...)
		}
		return append(b, "AD"...)
	case 'C':
		return pad(era / 100)
	case 'Y':
		if n == 2 {
			return short(year)
		}
		return pad(era)
	case 'y':
		return short(year)
	case 'x':
		y, _ := t.ISOWeek()
		return short(y)
	case 'w':
		_, w := t.ISOWeek()
		return pad(w)
	case 'e':
		return pad((int(t.Weekday())+6)%7 + 1)
	case 'E':
		return append(b, name(t.Weekday().String(), n >= 4)...)
	case 'D':
		return pad(t.YearDay())
	case 'M':
		if n >= 3 {
			return append(b, name(t.Month().String(), n >= 4)...)
		}
		return pad(int(t.Month()))
	case 'd':
		return pad(t.Day())
	case 'a':
		return t.AppendFormat(b, "PM")
	case 'K':
		return pad(t.Hour() % 12)
	case 'h':
		return pad((t.Hour()+11)%12 + 1)
	case 'H':
		return pad(t.Hour())
	case 'k':
		return pad((t.Hour()+23)%24 + 1)
	case 'm':
		return pad(t.Minute())
	case 's':
		return pad(t.Second())
	case 'S':
		digits := string(appendPadded(nil, t.Nanosecond(), 9))
		for len(digits) < n {
			digits += "0"
		}
		return append(b, digits[:n]...)
	case 'z':
		return append(b, zoneName(t, n >= 4)...)
	}
	_, secs := t.Zone() // Z
	if n >= 3 {
		return append(b, t.Location().String()...)
	}
	return append(b, offsetText(secs, n == 2)...)
}

func name(full string, long bool) string {
	if long {
		return full
	}
	return full[:3]
}

// zoneName is the abbreviation of the host's time zone data, or its full name
// if that is known.
func zoneName(t time.Time, long bool) string {
	short, secs := t.Zone()
	if strings.Trim(short, "+-0123456789:") == "" {
		return offsetText(secs, true) // a zone without a name of its own
	}
	if long {
		for _, z := range zoneNames {
			if z.short == short && z.minutes*60 == secs {
				return z.long
			}
		}
	}
	return short
}

// appendPadded appends v with at least width digits.
func appendPadded(b []byte, v, width int) []byte {
	if v < 0 {
		b, v = append(b, '-'), -v
	}
	digits := strconv.Itoa(v)
	for i := len(digits); i < width; i++ {
		b = append(b, '0')
	}
	return append(b, digits...)
}
