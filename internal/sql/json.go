package sql

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	// maxJSONDepth is how deep a JSON text from outside may nest. Deeper
	// payloads are treated as bytes that are not JSON.
	maxJSONDepth = 512

	// maxDepth is how deep the texts that expressions build of such ones can
	// nest: 10 variables and an item, each 100 literals deep at most, and the
	// same again in a template on those variables.
	maxDepth = 4096

	// foreign is the depth at which the check of a text from outside begins.
	foreign = maxDepth - maxJSONDepth
)

// validJSON is the one JSON value in s, without the space around it.
func validJSON(s string) (raw string, ok bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	i := skipSpace(s, 0)
	j, ok := skipValue(s, i, foreign)
	if !ok || skipSpace(s, j) != len(s) {
		return "", false
	}
	return s[i:j], true
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// skipValue finds the end of the JSON value at s[i], checking its syntax.
// depth is how deep it stands already.
func skipValue(s string, i, depth int) (end int, ok bool) {
	if i >= len(s) {
		return i, false
	}
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return skipNumber(s, i)
	case '{', '[':
		return skipNested(s, i, depth)
	case 't':
		return skipWord(s, i, "true")
	case 'f':
		return skipWord(s, i, "false")
	case 'n':
		return skipWord(s, i, "null")
	}
	return i, false
}

func skipWord(s string, i int, word string) (end int, ok bool) {
	if len(s)-i >= len(word) && s[i:i+len(word)] == word {
		return i + len(word), true
	}
	return i, false
}

// skipString finds the end of the string at s[i].
func skipString(s string, i int) (end int, ok bool) {
	if i = plainRun(s, i+1); i < len(s) && s[i] == '"' {
		return i + 1, true
	}
	return skipEscaped(s, i)
}

// skipEscaped is skipString from within the string.
func skipEscaped(s string, i int) (end int, ok bool) {
	for ; ; i++ {
		if i = plainRun(s, i); i >= len(s) {
			return i, false
		}
		c := s[i]
		if c == '"' {
			return i + 1, true
		}
		if c < 0x20 || i+1 >= len(s) {
			return i, false
		}
		i++
		switch s[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			for range 4 {
				if i++; i >= len(s) || !isHex(s[i]) {
					return i, false
				}
			}
		default:
			return i, false
		}
	}
}

// plainRun is the index of the first byte from s[i] that is a quote, a
// backslash or a control character, or len(s). It looks at eight bytes at
// once: strings are most of what a payload consists of.
func plainRun(s string, i int) int {
	for ; i+8 <= len(s); i += 8 {
		if m := special(s, i); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(s) && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

// special has the highest bit set of the first of eight bytes from s[i] that is
// a quote, a backslash or a control character, and perhaps bits of bytes after
// it; those before have none. It is 0 if there is none, or if s has fewer than
// eight bytes left.
func special(s string, i int) uint64 {
	if i+8 > len(s) {
		return 0
	}
	return specials(word(s, i))
}

// word is eight bytes from s[i], which must be there.
func word(s string, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.StringData(s)), i))[:])
}

const ones, highs = 0x0101010101010101, 0x8080808080808080

// specials is special of a word. Each difference sets the highest bit of a byte
// that is one of those, as well as of some that had it, and borrows from the
// bytes above alone.
func specials(x uint64) uint64 {
	// A quote is 0x22: with that 2 turned over, it and control characters are
	// all at most 0x20, and nothing else is.
	return ((x ^ ones*2 - ones*0x21) | (x ^ ones*'\\' - ones)) &^ x & highs
}

// nonDigits has the highest bit set of each byte of a word that is no digit,
// right as far as the first above 0x7f.
func nonDigits(x uint64) uint64 {
	return ((x ^ ones*'0') + ones*(0x80-10) | x) & highs
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func skipNumber(s string, i int) (end int, ok bool) {
	if s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if i, ok = skipDigits(s, i); !ok {
		return i, false
	}
	if i < len(s) && s[i] == '.' {
		if i, ok = skipDigits(s, i+1); !ok {
			return i, false
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		return skipExponent(s, i)
	}
	return i, true
}

func skipExponent(s string, i int) (end int, ok bool) {
	i++
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	return skipDigits(s, i)
}

// skipDigits needs one digit at least.
func skipDigits(s string, i int) (end int, ok bool) {
	start := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i, i > start
}

// A walk goes through the members of a valid object or the elements of a
// valid array, of which it is made with i 0.
type walk struct {
	raw string
	i   int
}

// member is the next key, as its raw string with quotes, and its raw value.
func (w *walk) member() (key, value string, ok bool) {
	i := skipSpace(w.raw, w.i+1) // past the brace or the comma
	if i >= len(w.raw) || w.raw[i] != '"' {
		return "", "", false
	}
	k, _ := skipString(w.raw, i)
	v := skipSpace(w.raw, skipSpace(w.raw, k)+1)
	end, _ := skipValue(w.raw, v, 0)
	w.i = skipSpace(w.raw, end)
	return w.raw[i:k], w.raw[v:end], true
}

// element is the next raw element.
func (w *walk) element() (elem string, ok bool) {
	i := skipSpace(w.raw, w.i+1)
	if i >= len(w.raw) || w.raw[i] == ']' {
		return "", false
	}
	end, _ := skipValue(w.raw, i, 0)
	w.i = skipSpace(w.raw, end)
	return w.raw[i:end], true
}

// keyIs reports whether the raw string key, with quotes, spells name.
func keyIs(key, name string) bool {
	if in := key[1 : len(key)-1]; len(in) == len(name) && in == name {
		return true
	}
	if len(key)-2 <= len(name) || !hasEscape(key) {
		return false
	}
	var buf [128]byte
	return string(appendUnescaped(buf[:0], key[1:len(key)-1])) == name
}

func hasEscape(s string) bool { return strings.IndexByte(s, '\\') >= 0 }

// lookup is the raw member name of the raw value object, the last of several,
// or empty.
func lookup(object, name string) string {
	found := ""
	if object != "" && object[0] == '{' {
		w := walk{raw: object}
		for k, v, ok := w.member(); ok; k, v, ok = w.member() {
			if keyIs(k, name) {
				found = v
			}
		}
	}
	return found
}

// appendUnescaped appends the content of a JSON string. A lone surrogate
// becomes U+FFFD.
func appendUnescaped(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '\\' {
			b = append(b, c)
			continue
		}
		i++
		switch s[i] {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hex4(s[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					low = hex4(s[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, s[i])
		}
	}
	return b
}

func hex4(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 32)
	return rune(n)
}

// loadRaw is the value of a valid JSON text without space around it. The
// value shares memory with raw or sc. A legacy number written with a point or
// an exponent stays a Decimal.
func loadRaw(raw string, sc *arena, legacy bool) Value {
	if raw == "" {
		return Value{}
	}
	switch raw[0] {
	case '{':
		return Value{kind: Object, s: raw}
	case '[':
		return Value{kind: Array, s: raw}
	case '"':
		return Value{kind: String, s: unquote(raw, sc)}
	case 't':
		return Value{kind: Bool, flag: flagTrue}
	case 'f':
		return Value{kind: Bool}
	case 'n':
		return Value{kind: Null}
	}
	n, point, exact, ok := parseNumber(raw)
	v := Value{kind: Int, num: n, s: raw}
	if n.exp != 0 || point && (legacy || !exact) {
		v.kind = Decimal
	}
	switch {
	case !ok:
		v.flag = flagHuge
	case !exact:
		v.flag = flagInexact
	}
	return v
}

// unquote is the content of the raw string s, which has its quotes.
func unquote(s string, sc *arena) string {
	in := s[1 : len(s)-1]
	if !hasEscape(in) {
		return in
	}
	return sc.string(appendUnescaped(sc.grow(len(in)), in))
}
