package sql

import "math/bits"

// A search is one pass over a text that fills the slots of a tree of paths.
type search struct {
	refuter
	slots   []string // raw JSON found, empty where nothing is
	touched []int    // slots filled, some perhaps twice or emptied again
	note    bool     // whether touched is wanted
}

// enter prepares the slot of a path for a member of that name. Of several
// members with one name the last wins.
func (f *search) enter(p *path) {
	if f.slots[p.slot] != "" {
		p.clear(f.slots)
	}
	if f.note {
		f.touched = append(f.touched, p.slot)
	}
}

// skipNested finds the end of the object or array at s[i], checking its syntax.
// depth is how deep it stands already.
func skipNested(s string, i, depth int) (end int, ok bool) {
	return (*search)(nil).container(s, i, depth, nil)
}

// outermost is what container has open within an object, and in nothing else.
const outermost = 0b101

// container finds the end of the object or array at s[i], as skipNested, and
// fills the slots of the children of node, which may be nil. Every byte of a
// payload goes through this loop, so strings and numbers are read in place and
// it does not call itself for what is nested, unless paths lead there.
func (f *search) container(s string, i, depth int, node *path) (end int, ok bool) {
	base := depth
	open := uint64(0b10) // below a 1, a bit for each open container, 1 for objects
	var kid *path        // of the outermost member under way, if it is wanted
	start := 0           // of its value
	for {
		// An element begins at i; in an object its key comes first.
		if open&1 == 1 {
			if uint(i) >= uint(len(s)) || s[i] != '"' {
				return i, false
			}
			key := i + 1
			if m := special(s, key); m != 0 {
				i = key + bits.TrailingZeros64(m)>>3
			} else {
				i = plainRun(s, key)
			}
			if uint(i) < uint(len(s)) && s[i] == '"' {
				if open == outermost && node != nil && node.want&look(s[key:i]) != 0 {
					kid = node.kid(s[key:i])
				}
				i++
			} else if i, ok = skipEscaped(s, i); !ok {
				return i, false
			} else if open == outermost && node != nil {
				kid = node.escaped(s[key : i-1])
			}
			if uint(i) < uint(len(s)) && s[i] <= ' ' {
				i = skipSpace(s, i)
			}
			if uint(i) >= uint(len(s)) || s[i] != ':' {
				return i, false
			}
			if i++; uint(i) < uint(len(s)) && s[i] <= ' ' {
				i = skipSpace(s, i)
			}
			if kid != nil && open == outermost {
				f.enter(kid)
				start = i
			}
		}
		if uint(i) >= uint(len(s)) {
			return i, false
		}
		switch c := s[i]; {
		case c == '"':
			if m := special(s, i+1); m != 0 {
				i += 1 + bits.TrailingZeros64(m)>>3
			} else {
				i = plainRun(s, i+1)
			}
			if uint(i) < uint(len(s)) && s[i] == '"' {
				i++
			} else if i, ok = skipEscaped(s, i); !ok {
				return i, false
			}
		case isDigit(c):
			// As skipNumber, but for a sign before and an exponent behind.
			i++
			for c != '0' && uint(i) < uint(len(s)) && isDigit(s[i]) {
				i++
			}
			if uint(i) < uint(len(s)) && s[i] == '.' {
				i++
				if uint(i) >= uint(len(s)) || !isDigit(s[i]) {
					return i, false
				}
				for i++; uint(i) < uint(len(s)) && isDigit(s[i]); {
					i++
				}
			}
			if uint(i) < uint(len(s)) && s[i]|0x20 == 'e' {
				if i, ok = skipExponent(s, i); !ok {
					return i, false
				}
			}
		case c == '{' || c == '[':
			if depth >= maxDepth {
				return i, false
			}
			if kid != nil && open == outermost && c == '{' && !kid.leaf() {
				if i, ok = f.container(s, i, depth, kid); !ok {
					return i, false
				}
				break
			}
			if open>>63 == 1 { // no bit is left
				if i, ok = skipNested(s, i, depth); !ok {
					return i, false
				}
				break
			}
			depth++
			open <<= 1
			if c == '{' {
				open |= 1
			}
			if i++; uint(i) < uint(len(s)) && s[i] <= ' ' {
				i = skipSpace(s, i)
			}
			if uint(i) < uint(len(s)) && s[i] == c+2 { // } and ] are two after { and [
				break
			}
			continue
		default:
			if i, ok = skipValue(s, i, depth); !ok {
				return i, false
			}
		}
		// A value has ended, or an empty container is about to.
		for {
			if kid != nil && open == outermost {
				f.slots[kid.slot] = s[start:i]
				if f.preds != nil && node.slot < 0 && f.refutes(kid, s[start:i], s[i:]) {
					return i, false
				}
				kid = nil
			}
			if uint(i) < uint(len(s)) && s[i] <= ' ' {
				i = skipSpace(s, i)
			}
			if uint(i) >= uint(len(s)) {
				return i, false
			}
			c := s[i]
			i++
			if c == ',' {
				if uint(i) < uint(len(s)) && s[i] <= ' ' {
					i = skipSpace(s, i)
				}
				break
			}
			if c != ']'+byte(open&1)<<5 { // } is 32 after ]
				return i, false
			}
			open >>= 1
			if depth--; depth == base {
				return i, true
			}
		}
	}
}
