package sql

import (
	"math/bits"
	"sync/atomic"
	"unicode/utf8"
)

// A layout is what the payloads of one kind of device have in common: their
// text without the values. A payload that has the text of a layout, and valid
// values of the same types in its holes, is as valid as the one that the layout
// was learned from, and its members are the same. So it need only be compared,
// which takes half the time of a search: between two values no end of a key has
// to be found before the next can be looked for.
type layout struct {
	parts      []layoutPart
	head, tail int // space around the object
}

// A layoutPart is text, and the hole after it that a value goes into.
type layoutPart struct {
	text string // its memory goes on up to a whole number of words
	mask uint64 // what the last word has of text
	hole hole
	kid  *path // the member whose value it is, if that is wanted
}

// A hole is the type of a value.
type hole uint8

const (
	noHole        hole = iota // the end of the payload
	textHole                  // a string; its quotes are in the parts around it
	scalarHole                // a number, true, false or null
	containerHole             // of a member that is wanted; its shape is free
)

const (
	maxLayoutBytes = 2 << 10 // of a payload
	maxParts       = 64
)

// A layoutCache has the layout that payloads had lately, for one tree of paths.
type layoutCache struct {
	known  atomic.Pointer[layout]
	misses atomic.Uint32
}

// read is the function read, with less effort for payloads of a known layout.
func (l *layoutCache) read(s string, f *search, root *path) (payload string, state payloadState) {
	if known := l.known.Load(); known != nil {
		if known.fits(s, f) {
			return s[known.head : len(s)-known.tail], isObject
		}
		root.clear(f.slots)
		if f.preds != nil && f.refuted {
			return s, isBytes
		}
		f.held = 0
	}
	if payload, state = read(s, f, root); state == isObject {
		l.miss(s, root)
	}
	return payload, state
}

// miss learns from the 2nd payload that no layout fits, the 4th, the 8th and so
// on, and every 1024th, so that it costs nothing where they are all different.
func (l *layoutCache) miss(s string, root *path) {
	if n := l.misses.Add(1); n > 1 && n&(n-1) == 0 || n%1024 == 0 {
		if next := layoutOf(s, root); next != nil {
			l.known.Store(next)
		}
	}
}

// layoutOf is the layout of a valid object, nil if it is unusual.
func layoutOf(s string, root *path) *layout {
	if len(s) > maxLayoutBytes || hasEscape(s) {
		return nil
	}
	l := &layout{head: skipSpace(s, 0)}
	from, depth := 0, 0
	var kid *path // of the member whose value comes next
	cut := func(end int, h hole) {
		n := end - from
		text := make([]byte, (n+7)&^7)
		copy(text, s[from:end])
		l.parts = append(l.parts, layoutPart{view(text)[:n], ^uint64(0) >> (-8 * n & 63), h, kid})
		kid = nil
	}
	seen := map[*path]bool{}
	for i := l.head; depth > 0 || i == l.head; {
		c := s[i]
		end, _ := skipValue(s, i, 0)
		switch {
		case c == '"' && s[skipSpace(s, end)] == ':':
			if depth == 1 {
				kid = root.kid(s[i+1 : end-1])
			}
			if seen[kid] && kid != nil {
				return nil // of two members the last counts
			}
			seen[kid] = true
			i = skipSpace(s, skipSpace(s, end)+1)
		case c == '"':
			cut(i+1, textHole)
			from, i = end-1, end
		case c == '-' || isDigit(c) || c == 't' || c == 'f' || c == 'n':
			cut(i, scalarHole)
			from, i = end, end
		case kid != nil && (c == '{' || c == '['):
			cut(i, containerHole)
			from, i = end, end
		default:
			if c == '{' || c == '[' {
				depth++
			} else if c == '}' || c == ']' {
				depth--
			}
			i++
		}
		if len(l.parts) == maxParts {
			return nil
		}
		l.tail = len(s) - i
	}
	cut(len(s), noHole)
	return l
}

// fits reports whether s has the layout, and fills the slots of what is wanted.
// It ends early as [search.container] does, with f.refuted.
func (l *layout) fits(s string, f *search) bool {
	parts, i := l.parts, 0
	var high uint64
	for {
		n, start, end, all := fit(s, i, parts)
		high |= all
		if n == 0 {
			return false
		}
		p := &parts[n-1]
		switch p.hole {
		case noHole:
			return end == len(s) && (high&highs == 0 || utf8.ValidString(s))
		case textHole:
			if end == len(s) || s[end] != '"' {
				return false
			}
			start, end = start-1, end+1
		case containerHole:
			if start == len(s) || s[start]|0x20 != '{' { // or [
				return false
			}
			var ok bool
			if end, ok = f.container(s, start, foreign+1, p.kid); !ok {
				return false
			}
			high = highs // unless it is looked at
		}
		f.slots[p.kid.slot] = s[start:end]
		if f.preds != nil && f.refutes(p.kid, s[start:end], s[end:]) {
			return false
		}
		if p.hole == textHole {
			end-- // the quote is of the next part
		}
		parts, i = parts[n:], end
	}
}

// fit compares s, from s[i] on, with the first parts, as far as a value that is
// wanted or that it cannot find the end of: that is in s[start:end], in the hole
// of the last of n parts. n is 0 if s does not fit. high has bits of all bytes
// of strings that were passed over.
//
// It calls nothing, so that all it works with stays in registers.
func fit(s string, i int, parts []layoutPart) (n, start, end int, high uint64) {
	for k := range parts {
		p := &parts[k]
		size := len(p.text)
		if i+size+7 <= len(s) {
			j := 0
			for ; j+8 < size; j += 8 {
				if word(s, i+j) != word(p.text, j) {
					return 0, i, i, high
				}
			}
			if (word(s, i+j)^word(p.text, j))&p.mask != 0 {
				return 0, i, i, high
			}
		} else { // in the last bytes of s
			if len(s)-i < size {
				return 0, i, i, high
			}
			for j := range size {
				if s[i+j] != p.text[j] {
					return 0, i, i, high
				}
			}
		}
		i += size
		start = i
		switch p.hole {
		case textHole:
			for {
				if i+8 > len(s) {
					for i < len(s) && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' {
						high |= uint64(s[i])
						i++
					}
					break
				}
				x := word(s, i)
				high |= x
				if m := specials(x); m != 0 {
					i += bits.TrailingZeros64(m) >> 3
					break
				}
				i += 8
			}
		case scalarHole:
			if uint(i) >= uint(len(s)) {
				return 0, i, i, high
			}
			c := s[i]
			if c == '-' {
				i++
			}
			switch {
			case c == 't' || c == 'n':
				if len(s)-i < 4 || s[i:i+4] != "true" && s[i:i+4] != "null" {
					return 0, i, i, high
				}
				i += 4
			case c == 'f':
				if len(s)-i < 5 || s[i:i+5] != "false" {
					return 0, i, i, high
				}
				i += 5
			default:
				// Most numbers are within a word: digits, perhaps a point among them.
				if i+8 <= len(s) {
					x := word(s, i)
					m := nonDigits(x)
					n := bits.TrailingZeros64(m) >> 3
					if n == 0 || n > 1 && byte(x) == '0' {
						return 0, i, i, high
					}
					after := byte(x >> (8 * n))
					if after == '.' {
						point := n
						m &= m - 1
						n = bits.TrailingZeros64(m) >> 3
						if n == point+1 {
							return 0, i, i, high
						}
						after = byte(x >> (8 * n))
					}
					if m != 0 && after|0x20 != 'e' {
						i += n
						break
					}
				}
				if uint(i) >= uint(len(s)) || !isDigit(s[i]) {
					return 0, i, i, high
				}
				if i++; s[i-1] != '0' {
					for uint(i) < uint(len(s)) && isDigit(s[i]) {
						i++
					}
				}
				if uint(i) < uint(len(s)) && s[i] == '.' {
					i++
					if uint(i) >= uint(len(s)) || !isDigit(s[i]) {
						return 0, i, i, high
					}
					for uint(i) < uint(len(s)) && isDigit(s[i]) {
						i++
					}
				}
				if uint(i) < uint(len(s)) && s[i]|0x20 == 'e' {
					i++
					if uint(i) < uint(len(s)) && (s[i] == '+' || s[i] == '-') {
						i++
					}
					if uint(i) >= uint(len(s)) || !isDigit(s[i]) {
						return 0, i, i, high
					}
					for uint(i) < uint(len(s)) && isDigit(s[i]) {
						i++
					}
				}
			}
		}
		if p.kid != nil || p.hole == noHole {
			return k + 1, start, i, high
		}
	}
	return 0, i, i, high // not reached: the last part has no hole
}
