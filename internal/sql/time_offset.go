package sql

import (
	"strings"
	"time"
)

// The shapes of an offset: how many of hours, minutes and seconds it has at
// least and at most, and whether colons stand between them.
type offsetShape struct {
	least, most int
	colon       bool
}

// offsetShapes are those of X and x by the count of letters.
var offsetShapes = [6]offsetShape{1: {1, 2, false}, 2: {2, 2, false}, 3: {2, 2, true}, 4: {2, 3, false}, 5: {2, 3, true}}

// wholeID is the shape of an offset that is a zone ID of its own.
var wholeID = offsetShape{2, 3, true}

// parse reads a sign, hours, minutes and seconds of two digits each, and tells
// how many bytes that took, 0 if there is no such offset.
func (o offsetShape) parse(s string) (secs, n int) {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, 0
	}
	neg := s[0] == '-'
	n = 1
	for part, unit := range [3]int{3600, 60, 1} {
		if part == o.most {
			break
		}
		at := n
		if part > 0 && o.colon {
			if at >= len(s) || s[at] != ':' {
				if part < o.least {
					return 0, 0
				}
				break
			}
			at++
		}
		if at+2 > len(s) || !isDigit(s[at]) || !isDigit(s[at+1]) || s[at] > '5' {
			if part < o.least {
				return 0, 0
			}
			break
		}
		secs += (int(s[at]-'0')*10 + int(s[at+1]-'0')) * unit
		n = at + 2
	}
	if secs > maxOffset {
		return 0, 0
	}
	if neg {
		secs = -secs
	}
	return secs, n
}

// maxOffset is the largest offset from UTC, in seconds.
const maxOffset = 18 * 3600

// offsetOf is the shape of the offsets of a field X, x or Z, and the text of
// offset 0.
func offsetOf(f field) (shape offsetShape, zero string) {
	switch f.letter {
	case 'X':
		return offsetShapes[f.count], "Z"
	case 'x':
		return offsetShapes[f.count], [6]string{1: "+00", 2: "+0000", 3: "+00:00", 4: "+0000", 5: "+00:00"}[f.count]
	}
	if f.count == 5 {
		return offsetShapes[5], "Z"
	}
	return offsetShapes[2], "+0000"
}

// zone reads an offset or a zone.
func (p *timeParser) zone(f field) bool {
	rest := p.s[p.i:]
	switch {
	case f.letter == 'O' || f.letter == 'Z' && f.count == 4:
		return p.localOffset(f.count == 4)
	case f.letter == 'X' || f.letter == 'x' || f.letter == 'Z':
		shape, zero := offsetOf(f)
		if strings.HasPrefix(rest, zero) {
			return p.offset(0, len(zero))
		}
		secs, n := shape.parse(rest)
		return n > 0 && p.offset(secs, n)
	case f.letter == 'z' && p.zoneText(rest):
		return true
	}
	return p.zoneID(rest)
}

// offset notes an offset that took n bytes. One that was read before must agree.
func (p *timeParser) offset(secs, n int) bool {
	p.i += n
	p.loc = time.UTC
	if secs != 0 {
		p.loc = time.FixedZone("", secs)
	}
	return p.set('X', secs)
}

// localOffset reads GMT, GMT+8 and GMT+8:30, or, full, GMT+08:00.
func (p *timeParser) localOffset(full bool) bool {
	rest, ok := strings.CutPrefix(p.s[p.i:], "GMT")
	switch {
	case !ok:
		return false
	case rest == "" || rest[0] != '+' && rest[0] != '-':
		return p.offset(0, len("GMT"))
	case full:
		secs, n := wholeID.parse(rest)
		return n > 0 && p.offset(secs, len("GMT")+n)
	case len(rest) < 2 || !isDigit(rest[1]):
		return false
	}
	hour := 2
	if len(rest) > 2 && isDigit(rest[2]) {
		hour = 3
	}
	text, shift := rest, 0
	if hour == 2 { // as if it had two digits
		text, shift = rest[:1]+"0"+rest[1:], 1
	}
	secs, n := offsetShape{1, 3, true}.parse(text)
	return n > 0 && p.offset(secs, len("GMT")+n-shift)
}

// zoneText reads an abbreviation or a full name.
func (p *timeParser) zoneText(rest string) bool {
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
	return false
}

// zoneID reads Z, an offset, UTC, GMT and UT with and without one, or a region.
func (p *timeParser) zoneID(rest string) bool {
	for _, prefix := range []string{"UTC", "GMT", "UT", ""} {
		after, ok := strings.CutPrefix(rest, prefix)
		if !ok {
			continue
		}
		if secs, n := wholeID.parse(after); n > 0 || prefix != "" {
			p.loc = time.FixedZone("", secs)
			p.i += len(prefix) + n
			return true
		}
	}
	n := 0
	for n < len(rest) && n < maxRegion && isZoneChar(rest[n]) && isLetter(rest[0]) {
		n++
	}
	// A region may run into what the pattern has after it.
	for tries := 0; n > 0 && tries < 12; tries++ {
		if p.loc = p.zones.find(rest[:n]); p.loc != nil {
			p.i += n
			return true
		}
		n--
	}
	return false
}

// maxRegion is the longest name of a region.
const maxRegion = 64

func isZoneChar(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '/' || c == '+' || c == '-'
}
