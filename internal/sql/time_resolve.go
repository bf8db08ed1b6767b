package sql

import (
	"math"
	"time"
)

// resolve makes a time of the fields, as the resolver style SMART does. Fields
// that no date or time is made of must agree with it.
func (p *timeParser) resolve() (time.Time, bool) {
	p.years()
	day, ok := p.date()
	if !ok || !p.agrees(day) {
		return time.Time{}, false
	}
	clock, ok := p.clock()
	if !ok {
		return time.Time{}, false
	}
	loc := p.loc
	if loc == nil {
		loc = time.UTC
	}
	return inZone(day.Add(clock), loc), true
}

// inZone is the time that stands on the clocks of loc when t does on those of
// UTC. Where they are set back it is the first of the two; of what they skip
// it is as much later as they skip.
func inZone(t time.Time, loc *time.Location) time.Time {
	_, before := t.Add(-24 * time.Hour).In(loc).Zone()
	_, after := t.Add(24 * time.Hour).In(loc).Zone()
	for _, secs := range []int{before, after} {
		at := t.Add(-time.Duration(secs) * time.Second)
		if _, is := at.In(loc).Zone(); is == secs {
			return at
		}
	}
	return t.Add(-time.Duration(before) * time.Second)
}

// years makes the year u of the year of era y.
func (p *timeParser) years() {
	y, ok := p.got['y']
	if !ok {
		return
	}
	era, known := p.got['G']
	year, has := p.got['u']
	switch {
	case known && era == 0, !known && has && year <= 0:
		y = 1 - y
	}
	delete(p.got, 'y')
	if has && year != y {
		y = math.MaxInt // they contradict each other
	}
	p.got['u'] = y
}

// date is the day that the fields name.
func (p *timeParser) date() (time.Time, bool) {
	get := func(letters string) ([]int, bool) {
		var all []int
		for i := range len(letters) {
			v, ok := p.got[letters[i]]
			if !ok {
				return nil, false
			}
			all = append(all, v)
		}
		return all, true
	}
	if e, ok := p.got['e']; ok { // from Sunday, in the English locale
		p.got['E'] = (e+5)%7 + 1
	}
	year, hasYear := p.got['u']
	if year < -maxYear || year > maxYear {
		return time.Time{}, false
	}
	if v, ok := get("uMd"); ok {
		last := time.Date(year, time.Month(v[1])+1, 0, 0, 0, 0, 0, time.UTC).Day()
		p.got['d'] = min(v[2], last)
		return time.Date(year, time.Month(v[1]), p.got['d'], 0, 0, 0, 0, time.UTC), true
	}
	if v, ok := get("uD"); ok {
		day := time.Date(year, 1, v[1], 0, 0, 0, 0, time.UTC)
		return day, day.Year() == year
	}
	if v, ok := get("uMWE"); ok {
		first := time.Date(year, time.Month(v[1]), 1, 0, 0, 0, 0, time.UTC)
		for _, letter := range []byte("uMW") { // the day may lie outside of the month
			delete(p.got, letter)
		}
		return first.AddDate(0, 0, (v[2]-1)*7+v[3]%7-int(first.Weekday())), true
	}
	if v, ok := get("YwE"); ok && !hasYear && v[0] >= -maxYear && v[0] <= maxYear {
		first := time.Date(v[0], 1, 1, 0, 0, 0, 0, time.UTC)
		// A week beyond the last one is the last one.
		next := first.AddDate(1, 0, 0)
		last := (int(first.Weekday()) + int(next.Sub(first)/(24*time.Hour))) / 7
		p.got['w'] = min(v[1], last)
		return first.AddDate(0, 0, (p.got['w']-1)*7+v[2]%7-int(first.Weekday())), true
	}
	return time.Time{}, false
}

// maxYear bounds years, so that milliseconds of a date fit 64 bits.
const maxYear = 200_000_000

// agrees reports whether the fields of a date that were read are those of day.
func (p *timeParser) agrees(day time.Time) bool {
	// Weeks of the English locale begin on Sunday, and the first holds
	// January 1st or the first of the month.
	sunday := day.AddDate(0, 0, -int(day.Weekday()))
	weekYear, week := day.Year(), (day.YearDay()-1+int(day.AddDate(0, 0, 1-day.YearDay()).Weekday()))/7+1
	if end := sunday.AddDate(0, 0, 6); end.Year() > weekYear {
		weekYear, week = end.Year(), 1
	}
	first := day.AddDate(0, 0, 1-day.Day())
	era := 1
	if day.Year() < 1 {
		era = 0
	}
	for letter, v := range map[byte]int{
		'u': day.Year(), 'M': int(day.Month()), 'd': day.Day(), 'D': day.YearDay(), 'Q': (int(day.Month())-1)/3 + 1, 'G': era,
		'E': (int(day.Weekday())+6)%7 + 1, 'W': (day.Day()-1+int(first.Weekday()))/7 + 1, 'Y': weekYear, 'w': week,
	} {
		if got, ok := p.got[letter]; ok && got != v {
			return false
		}
	}
	return true
}

// clock is the time of the day; midnight if nothing says more than the half of
// the day.
func (p *timeParser) clock() (time.Duration, bool) {
	ok := true
	put := func(letter byte, v int) {
		old, has := p.got[letter]
		ok = ok && (!has || old == v)
		p.got[letter] = v
	}
	if k, has := p.got['k']; has {
		put('H', k%24)
	}
	if h, has := p.got['h']; has {
		put('K', h%12)
	}
	half, hasHalf := p.got['a']
	if k, has := p.got['K']; has && hasHalf {
		put('H', 12*half+k)
	}
	split := func(seconds int) {
		put('H', seconds/3600)
		put('m', seconds/60%60)
		put('s', seconds%60)
	}
	if n, has := p.got['N']; has {
		split(n / 1e9)
		put('n', n%1e9)
	}
	if ms, has := p.got['A']; has {
		split(ms / 1e3)
		n, has := p.got['n']
		ok = ok && (!has || n/1e6 == ms%1e3)
		if !has {
			p.got['n'] = ms % 1e3 * 1e6
		}
	}
	h, hasHour := p.got['H']
	m, hasMinute := p.got['m']
	s, hasSecond := p.got['s']
	n, hasNano := p.got['n']
	_, hasK := p.got['K']
	switch {
	case !ok, !hasHour && (hasMinute || hasSecond || hasNano || hasK):
		return 0, false
	case !hasMinute && (hasSecond || hasNano), !hasSecond && hasNano:
		return 0, false // what is missing between is not taken for 0
	case h == 24 && (m > 0 || s > 0 || n > 0):
		return 0, false
	case hasHour && hasHalf && h%24/12 != half, hasHour && hasK && h%12 != p.got['K']:
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(n), true
}
