package sql

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// javaLetters are the pattern letters of java.time's DateTimeFormatter.
const javaLetters = "GuyDMLdQqYwWEecahKkHmsSAnNVzOXxZp[]"

// javaMost is how often a letter may stand in a row, where that is not 19.
var javaMost = map[byte]int{'G': 5, 'M': 5, 'L': 5, 'Q': 5, 'q': 5, 'E': 5, 'e': 5, 'c': 5, 'D': 3, 'd': 2, 'H': 2, 'k': 2, 'K': 2, 'h': 2,
	'm': 2, 's': 2, 'w': 2, 'W': 1, 'a': 1, 'S': 9, 'V': 2, 'z': 4, 'O': 4, 'X': 5, 'x': 5, 'Z': 5}

// javaPattern takes a pattern apart and checks what DateTimeFormatter checks:
// the count of each letter, brackets, what a pad stands before.
func javaPattern(p string) ([]field, bool) {
	fields, ok := splitPattern(p, javaLetters)
	depth := 0
	for i, f := range fields {
		if most := javaMost[f.letter]; most > 0 && f.count > most {
			return nil, false
		}
		switch {
		case f.letter == '[':
			depth++
		case f.letter == ']':
			depth--
		case f.letter == 'V' && f.count != 2, f.letter == 'O' && f.count != 1 && f.count != 4, f.letter == 'c' && f.count == 2,
			f.letter == 'p' && (i+1 == len(fields) || strings.IndexByte("p[]", fields[i+1].letter) >= 0 || fields[i+1].letter == 0):
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
			saved.got = maps.Clone(p.got)
			if !p.run(fields[k+1 : end]) {
				*p = saved // an optional part that is not there
			}
			k = end
			continue
		case ']':
			continue
		case 'p':
			k++
			if !p.padded(f.count, fields[k]) {
				return false
			}
			continue
		}
		if !p.field(f, fields[k+1:]) {
			return false
		}
	}
	return true
}

// padded reads a field that is filled with spaces from the left to a width.
func (p *timeParser) padded(width int, f field) bool {
	whole, end := p.s, p.i+width
	if end > len(whole) {
		return false
	}
	p.s = whole[:end]
	for p.i < end && p.s[p.i] == ' ' {
		p.i++
	}
	ok := p.field(f, nil) && p.i == end
	p.s = whole
	return ok
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

// maxWidth is the most digits that a number is read of.
const maxWidth = 18

// width is how many digits a numeric field has, at least and at most; signed
// says that a minus may stand before them. least is 0 for what is no number.
func (f field) width() (least, most int, signed bool) {
	switch f.letter {
	case 'u', 'y', 'Y':
		if f.count != 2 {
			return f.count, maxWidth, true
		}
	case 'D':
		if f.count == 1 {
			return 1, maxWidth, true
		}
		return f.count, 3, false
	case 'M', 'L', 'Q', 'q', 'd', 'h', 'H', 'k', 'K', 'm', 's':
		switch f.count {
		case 1:
			return 1, maxWidth, true
		case 2:
		default:
			return 0, 0, false
		}
	case 'n', 'N', 'A':
		return f.count, maxWidth, false
	case 'w':
		return f.count, 2, false
	case 'S', 'W':
	case 'e', 'c':
		if f.count > 2 {
			return 0, 0, false
		}
	default:
		return 0, 0, false
	}
	return f.count, f.count, false
}

// fixed is the width of a numeric field that has just that many digits, or 0.
func (f field) fixed() int {
	if least, most, _ := f.width(); least == most {
		return most
	}
	return 0
}

// limits are the values that fields may have. The hours h and k may be 0, as
// the resolver style SMART has it.
var limits = map[byte][2]int{
	'y': {1, 999999999}, 'd': {1, 31}, 'D': {1, 366}, 'M': {1, 12}, 'H': {0, 24}, 'k': {0, 24}, 'K': {0, 11}, 'h': {0, 12}, 'm': {0, 59}, 's': {0, 59},
	'w': {1, 53}, 'W': {0, 6}, 'e': {1, 7}, 'Q': {1, 4}, 'A': {0, 86399999}, 'N': {0, 86399999999999}, 'n': {0, 999999999},
}

// The texts of fields by their style: short, full, narrow. A narrow text that
// several values have is that of the last.
var (
	eras      = [3][]string{{"BC", "AD"}, {"Before Christ", "Anno Domini"}, {"B", "A"}}
	quarters  = [3][]string{{"Q1", "Q2", "Q3", "Q4"}, {"1st quarter", "2nd quarter", "3rd quarter", "4th quarter"}, {"1", "2", "3", "4"}}
	halves    = []string{"AM", "PM"}
	months    = named(12, func(i int) string { return time.Month(i + 1).String() })
	weekdays  = named(7, func(i int) string { return time.Weekday((i + 1) % 7).String() })
	styleFrom = map[int]int{3: 0, 4: 1, 5: 2} // by the count of letters
)

func named(n int, full func(i int) string) (styles [3][]string) {
	for i := range n {
		name := full(i)
		for style, text := range []string{name[:3], name, name[:1]} {
			styles[style] = append(styles[style], text)
		}
	}
	return styles
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
		return p.oneOf('G', eras[styleFrom[max(f.count, 3)]], 0)
	case 'a':
		return p.oneOf('a', halves, 0)
	case 'V', 'z', 'O', 'X', 'x', 'Z':
		return p.zone(f)
	case 'S':
		return p.fraction(f.count)
	case 'L':
		f.letter = 'M'
	case 'q':
		f.letter = 'Q'
	case 'c':
		f.letter = 'e'
	}
	if least, _, _ := f.width(); least > 0 {
		return p.numeric(f, next)
	}
	style := styleFrom[max(f.count, 3)]
	switch f.letter {
	case 'M':
		return p.oneOf('M', months[style], 1)
	case 'Q':
		return p.oneOf('Q', quarters[style], 1)
	}
	return p.oneOf('E', weekdays[style], 1) // E, e, c
}

// fraction reads so many digits of a second.
func (p *timeParser) fraction(n int) bool {
	nanos := 0
	for k := range 9 {
		nanos *= 10
		if k >= n {
			continue
		}
		if p.i >= len(p.s) || !isDigit(p.s[p.i]) {
			return false
		}
		nanos += int(p.s[p.i] - '0')
		p.i++
	}
	return p.set('n', nanos)
}

// numeric reads a number. One of any width leaves the digits that fields of
// fixed width right after it need.
func (p *timeParser) numeric(f field, next []field) bool {
	year := f.letter == 'u' || f.letter == 'y' || f.letter == 'Y'
	least, most, signed := f.width()
	rest := p.s[p.i:]
	neg := signed && strings.HasPrefix(rest, "-")
	plus := year && f.count >= 4 && strings.HasPrefix(rest, "+")
	if neg || plus {
		rest = rest[1:]
		p.i++
	}
	after := 0
	for _, n := range next {
		w := n.fixed()
		if w == 0 || least == most {
			break
		}
		after += w
	}
	digits := 0
	for digits < len(rest) && digits < most+after && isDigit(rest[digits]) {
		digits++
	}
	if digits < least {
		return false
	}
	digits = min(max(digits-after, least), maxWidth)
	if year && f.count >= 4 && !neg && plus != (digits > f.count) {
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
		return false
	}
	if old, ok := p.got[letter]; ok && old != v {
		return false
	}
	p.got[letter] = v
	return true
}

// oneOf reads one of the names; the first stands for base. Of those that fit the
// longest counts, and the last of these.
func (p *timeParser) oneOf(letter byte, names []string, base int) bool {
	found := -1
	for i, n := range names {
		if strings.HasPrefix(p.s[p.i:], n) && (found < 0 || len(n) >= len(names[found])) {
			found = i
		}
	}
	if found < 0 {
		return false
	}
	p.i += len(names[found])
	return p.set(letter, base+found)
}
