package sql

import (
	"math"
	"slices"
	"strings"
	"time"
)

// javaLetters are the pattern letters of java.time's DateTimeFormatter.
const javaLetters = "GuyDMLdQqYwWEecahKkHmsSAnNVzOXxZp[]"

// javaPattern takes a pattern apart and checks that its brackets match.
func javaPattern(p string) ([]field, bool) {
	fields, ok := splitPattern(p, javaLetters)
	depth := 0
	for _, f := range fields {
		switch {
		case f.letter == '[':
			depth++
		case f.letter == ']':
			depth--
		case f.letter == 'V' && f.count != 2, f.letter == 'O' && f.count != 1 && f.count != 4:
			return nil, false
		}
		if depth < 0 {
			return nil, false
		}
	}
	return fields, ok
}

// prepareTimeToEpoch takes a literal pattern apart once.
func prepareTimeToEpoch(args []code, fn func(*env, []Value) Value) func(*env, []Value) Value {
	p := args[1].v
	if !args[1].konst || p.kind != String || len(p.s) > maxTimePattern {
		return fn
	}
	fields, ok := javaPattern(p.s)
	if !ok {
		return fn
	}
	return func(e *env, a []Value) Value { return e.parseTime(fields, a[0]) }
}

// parseTime is time_to_epoch.
func (e *env) parseTime(fields []field, v Value) Value {
	s, ok := e.text(v)
	if !ok || slices.ContainsFunc(fields, field.isZone) && !e.charge(zoneWork) {
		return Value{}
	}
	p := timeParser{s: s, zones: &e.p.zones, got: map[byte]int{}}
	if !p.run(fields) || p.i != len(s) {
		return Value{}
	}
	t, ok := p.resolve()
	if !ok {
		return Value{}
	}
	return IntValue(t.UnixMilli())
}

// A timeParser reads a text by a pattern. got has the fields read so far, by
// the letter that stands for each: u year, M, d, D, H, ...
type timeParser struct {
	s     string
	i     int
	zones *zoneCache
	got   map[byte]int
	loc   *time.Location
}

func (p *timeParser) run(fields []field) bool {
	for k := 0; k < len(fields); k++ {
		f := fields[k]
		switch f.letter {
		case '[':
			end := closing(fields, k)
			saved := *p
			saved.got = make(map[byte]int, len(p.got))
			for l, v := range p.got {
				saved.got[l] = v
			}
			if !p.run(fields[k+1 : end]) {
				*p = saved // an optional part that is not there
			}
			k = end
			continue
		case ']':
			continue
		case 'p':
			for p.i < len(p.s) && p.s[p.i] == ' ' {
				p.i++
			}
			continue
		}
		if !p.field(f, fields[k+1:]) {
			return false
		}
	}
	return true
}

// closing is the index of the bracket that closes the one at k, or the end.
func closing(fields []field, k int) int {
	depth := 0
	for i := k; i < len(fields); i++ {
		switch fields[i].letter {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(fields)
}

// fixed is the width of a numeric field that has just that many digits, or 0.
func (f field) fixed() int {
	switch {
	case strings.IndexByte("dhHkKmsMLwe", f.letter) >= 0 && f.letter != 0 && f.count == 2, f.letter == 'D' && f.count == 3,
		f.letter == 'S', strings.IndexByte("uyY", f.letter) >= 0 && f.letter != 0 && f.count == 2:
		return f.count
	}
	return 0
}

var limits = map[byte][2]int{
	'd': {1, 31}, 'D': {1, 366}, 'M': {1, 12}, 'H': {0, 23}, 'k': {1, 24}, 'K': {0, 11}, 'h': {1, 12}, 'm': {0, 59}, 's': {0, 59},
	'w': {1, 53}, 'W': {0, 5}, 'e': {1, 7}, 'Q': {1, 4}, 'A': {0, 86399999}, 'N': {0, 86399999999999}, 'n': {0, 999999999},
}

func (p *timeParser) field(f field, next []field) bool {
	rest := p.s[p.i:]
	switch f.letter {
	case 0:
		if !strings.HasPrefix(rest, f.text) {
			return false
		}
		p.i += len(f.text)
		return true
	case 'G':
		return p.oneOf('G', []string{"BC", "AD"}, 0) || p.oneOf('G', []string{"Before Christ", "Anno Domini"}, 0)
	case 'a':
		return p.oneOf('a', []string{"AM", "PM"}, 0)
	case 'E':
		return p.weekday(f.count >= 4)
	case 'M', 'L':
		if f.count >= 3 {
			var months []string
			for m := time.January; m <= time.December; m++ {
				months = append(months, name(m.String(), f.count >= 4))
			}
			return p.oneOf('M', months, 1)
		}
		f.letter = 'M'
	case 'e', 'c':
		if f.count >= 3 {
			return p.weekday(f.count >= 4)
		}
		f.letter = 'e'
	case 'Q', 'q':
		if f.count == 3 {
			return p.oneOf('Q', []string{"Q1", "Q2", "Q3", "Q4"}, 1)
		}
		f.letter = 'Q'
	case 'V', 'z', 'O', 'X', 'x', 'Z':
		return p.zone(f)
	case 'S':
		n := 0
		for n < f.count {
			if n >= len(rest) || !isDigit(rest[n]) {
				return false
			}
			n++
		}
		nanos := 0
		for k := range 9 {
			nanos *= 10
			if k < n {
				nanos += int(rest[k] - '0')
			}
		}
		p.i += n
		return p.set('n', nanos)
	}
	return p.numeric(f, next)
}

// numeric reads a number. One of any width leaves the digits that fields of
// fixed width right after it need.
func (p *timeParser) numeric(f field, next []field) bool {
	year := f.letter == 'u' || f.letter == 'y' || f.letter == 'Y'
	rest := p.s[p.i:]
	neg := f.fixed() == 0 && strings.HasPrefix(rest, "-")
	plus := year && f.count >= 4 && strings.HasPrefix(rest, "+")
	if neg || plus {
		rest = rest[1:]
		p.i++
	}
	digits := 0
	for digits < len(rest) && digits < 18 && isDigit(rest[digits]) {
		digits++
	}
	least := f.count
	if w := f.fixed(); w > 0 {
		digits = min(digits, w)
	} else {
		for _, n := range next {
			w := n.fixed()
			if w == 0 {
				break
			}
			digits -= w
		}
		if f.letter == 'D' && f.count == 2 {
			digits = min(digits, 3)
		}
	}
	switch {
	case digits < least || digits < 1:
		return false
	case year && f.count >= 4 && !neg && plus != (digits > f.count):
		return false // a year has a plus just if it has more digits than letters
	}
	v := 0
	for _, c := range []byte(rest[:digits]) {
		v = v*10 + int(c-'0')
	}
	p.i += digits
	if neg && v == 0 {
		return false
	} else if neg {
		v = -v
	}
	if year && f.count == 2 {
		v += 2000
	}
	return p.set(f.letter, v)
}

// set notes a field. One that was read before must agree.
func (p *timeParser) set(letter byte, v int) bool {
	if l, ok := limits[letter]; ok && (v < l[0] || v > l[1]) {
		if letter != 'H' || v != 24 {
			return false
		}
	}
	if old, ok := p.got[letter]; ok && old != v {
		return false
	}
	p.got[letter] = v
	return true
}

// oneOf reads one of the names; the first stands for base.
func (p *timeParser) oneOf(letter byte, names []string, base int) bool {
	for i, n := range names {
		if strings.HasPrefix(p.s[p.i:], n) {
			p.i += len(n)
			return p.set(letter, base+i)
		}
	}
	return false
}

func (p *timeParser) weekday(long bool) bool {
	var days []string
	for d := range 7 {
		days = append(days, name(time.Weekday((d+1)%7).String(), long))
	}
	return p.oneOf('E', days, 1)
}

func (p *timeParser) zone(f field) bool {
	rest := p.s[p.i:]
	offset := func(text string) bool {
		secs, n := parseOffset(text)
		if n == 0 {
			return false
		}
		p.i += len(rest) - len(text) + n
		p.loc = time.FixedZone("", secs)
		return true
	}
	switch f.letter {
	case 'X', 'Z', 'x':
		if (f.letter == 'X' || f.letter == 'Z' && f.count == 5) && strings.HasPrefix(rest, "Z") {
			p.i++
			p.loc = time.UTC
			return true
		}
		if f.letter != 'Z' || f.count != 4 {
			return offset(rest)
		}
	}
	if gmt, ok := strings.CutPrefix(rest, "GMT"); ok && (f.letter == 'O' || f.letter == 'Z') {
		if !offset(gmt) {
			p.i += len("GMT")
			p.loc = time.UTC
		}
		return true
	}
	if f.letter == 'O' || f.letter == 'Z' {
		return false
	}
	if f.letter == 'z' {
		for _, z := range zoneNames {
			for _, n := range []string{z.long, z.short} {
				after, ok := strings.CutPrefix(rest, n)
				if ok && (after == "" || !isZoneChar(after[0])) {
					p.i += len(n)
					p.loc = p.zones.find(z.region)
					return p.loc != nil
				}
			}
		}
	}
	n := 0
	for n < len(rest) && isZoneChar(rest[n]) {
		n++
	}
	p.loc = p.zones.find(rest[:n])
	p.i += n
	return p.loc != nil
}

func isZoneChar(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '/' || c == '+' || c == '-' || c == ':'
}

// resolve makes a time of the fields, as the resolver style SMART does.
func (p *timeParser) resolve() (time.Time, bool) {
	has := func(l byte) (int, bool) { v, ok := p.got[l]; return v, ok }
	year, ok := has('u')
	if y, of := has('y'); of {
		if era, is := has('G'); is && era == 0 {
			y = 1 - y
		}
		if ok && y != year {
			return time.Time{}, false
		}
		year, ok = y, true
	}
	if year < -999999999 || year > math.MaxInt32 {
		return time.Time{}, false
	}
	var date time.Time
	month, hasMonth := has('M')
	day, hasDay := has('d')
	yearDay, hasYearDay := has('D')
	weekYear, hasWeekYear := has('Y')
	week, hasWeek := has('w')
	switch {
	case ok && hasMonth && hasDay:
		if last := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day(); day > last {
			day = last
		}
		date = time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	case ok && hasYearDay:
		date = time.Date(year, 1, yearDay, 0, 0, 0, 0, time.UTC)
		if date.Year() != year {
			return time.Time{}, false
		}
	case hasWeekYear && hasWeek:
		// English locale: weeks begin on Sunday, the first holds January 1st.
		d, ok := has('e')
		if w, is := has('E'); !ok && is {
			d, ok = w%7+1, true
		}
		if !ok {
			return time.Time{}, false
		}
		first := time.Date(weekYear, 1, 1, 0, 0, 0, 0, time.UTC)
		date = first.AddDate(0, 0, (week-1)*7+d-1-int(first.Weekday()))
	default:
		return time.Time{}, false
	}
	if w, ok := has('E'); ok && w%7 != int(date.Weekday()) {
		return time.Time{}, false
	}
	return p.clock(date)
}

// clock adds the time of the day.
func (p *timeParser) clock(date time.Time) (time.Time, bool) {
	h, hasHour := p.got['H']
	if k, ok := p.got['k']; ok {
		h, hasHour = k%24, true
	}
	half, hasHalf := p.got['a']
	for _, l := range []byte{'h', 'K'} {
		if v, ok := p.got[l]; ok && !hasHour {
			if !hasHalf {
				return time.Time{}, false
			}
			h, hasHour = v%12+12*half, true
		}
	}
	m, hasMinute := p.got['m']
	s, hasSecond := p.got['s']
	n, hasNano := p.got['n']
	switch {
	case !hasHour && (hasMinute || hasSecond || hasNano), !hasMinute && hasSecond:
		return time.Time{}, false
	case hasHalf && hasHour && h/12 != half && h != 24:
		return time.Time{}, false
	case h == 24 && (m > 0 || s > 0 || n > 0):
		return time.Time{}, false
	}
	nanos := int64(n)
	if ms, ok := p.got['A']; ok {
		nanos = int64(ms) * 1e6
	}
	if v, ok := p.got['N']; ok {
		nanos = int64(v)
	}
	loc := p.loc
	if loc == nil {
		loc = time.UTC
	}
	t := time.Date(date.Year(), date.Month(), date.Day(), h, m, s, 0, loc)
	return t.Add(time.Duration(nanos)), true
}
