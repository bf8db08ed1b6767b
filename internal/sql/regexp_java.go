package sql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Patterns are written in the syntax of Java and searched for by RE2. fromJava
// spells what both can do and write differently: \uhhhh, \h, \R, \p{Alpha} and
// the like, classes within classes. What RE2 cannot do stays and does not
// compile there, but for classes: an intersection, or a negation within a
// class, would mean something else, so it is an error here.
func fromJava(pattern string) (string, error) {
	if !strings.ContainsAny(pattern, `\[`) {
		return pattern, nil
	}
	t := javaRegexp{s: pattern}
	for t.i < len(t.s) {
		switch c := t.s[t.i]; {
		case c == '\\':
			if err := t.escape(false); err != nil {
				return "", err
			}
		case c == '[':
			if err := t.class(0); err != nil {
				return "", err
			}
		default:
			t.b.WriteByte(c)
			t.i++
		}
	}
	return t.b.String(), nil
}

type javaRegexp struct {
	s string
	i int
	b strings.Builder
}

var errClass = errors.New("a class cannot be intersected or negated within another")

// maxClasses is how deep classes nest.
const maxClasses = 100

// class copies the class at [; one within another becomes a part of it.
func (t *javaRegexp) class(depth int) error {
	start := t.i
	negated := strings.HasPrefix(t.s[t.i:], "[^")
	if negated && depth > 0 || depth > maxClasses {
		return errClass
	}
	t.i++
	if depth == 0 {
		t.b.WriteByte('[')
	}
	if negated {
		t.b.WriteByte('^')
		t.i++
	}
	for first := true; t.i < len(t.s); first = false {
		switch c := t.s[t.i]; {
		case c == ']' && !first:
			t.i++
			if depth == 0 {
				t.b.WriteByte(']')
			}
			return nil
		case c == '[':
			if err := t.class(depth + 1); err != nil {
				return err
			}
		case c == '\\':
			if err := t.escape(true); err != nil {
				return err
			}
		case strings.HasPrefix(t.s[t.i:], "&&"):
			return errClass
		case c == '^' || c == ']': // as itself, wherever it comes to stand
			t.b.WriteString(`\` + string(c))
			t.i++
		default:
			t.b.WriteByte(c)
			t.i++
		}
	}
	return fmt.Errorf("missing closing ]: `%s`", t.s[start:])
}

// posix are the classes that Java names as in \p{Lower}.
var posix = map[string]string{"Lower": "lower", "Upper": "upper", "ASCII": "ascii", "Alpha": "alpha", "Digit": "digit", "Alnum": "alnum", "Punct": "punct",
	"Graph": "graph", "Print": "print", "Blank": "blank", "Cntrl": "cntrl", "XDigit": "xdigit", "Space": "space"}

// The members of the classes \h, \v and \s of Java.
const (
	horizontal = `\t \x{a0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}`
	vertical   = `\n-\r\x{85}\x{2028}\x{2029}`
	spaces     = `\t-\r `
)

// escape copies what a backslash begins.
func (t *javaRegexp) escape(inClass bool) error {
	rest := t.s[t.i+1:]
	if rest == "" {
		return errors.New(`a \ at the end`)
	}
	set := func(members string, negated bool) error {
		t.i += 2
		switch {
		case !inClass && negated:
			t.b.WriteString("[^" + members + "]")
		case !inClass:
			t.b.WriteString("[" + members + "]")
		case negated:
			return errClass
		default:
			t.b.WriteString(members)
		}
		return nil
	}
	switch c := rest[0]; c {
	case 'h', 'H':
		return set(horizontal, c == 'H')
	case 'v', 'V':
		return set(vertical, c == 'V')
	case 's', 'S':
		if !inClass || c == 's' { // RE2's own \S differs in \v alone
			return set(spaces, c == 'S')
		}
	case 'R':
		if inClass {
			return errClass
		}
		t.b.WriteString(`(?:\r\n|[` + vertical + `])`)
		t.i += 2
		return nil
	case 'e':
		t.rune(0x1b, 2)
		return nil
	case 'u':
		return t.unicode()
	case 'c':
		if len(rest) < 2 {
			return errors.New(`a \c at the end`)
		}
		t.rune(rune(rest[1]^64), 3)
		return nil
	case '0':
		return t.octal(rest[1:])
	case 'p', 'P':
		if t.property(rest, c == 'P', inClass) {
			return nil
		}
	case 'Q':
		if end := strings.Index(rest, `\E`); end >= 0 {
			t.literal(rest[1:end])
			t.i += 1 + end + len(`\E`)
		} else {
			t.literal(rest[1:])
			t.i = len(t.s)
		}
		return nil
	}
	r, n := utf8.DecodeRuneInString(rest)
	if r < utf8.RuneSelf {
		t.b.WriteByte('\\')
	}
	t.b.WriteRune(r)
	t.i += 1 + n
	return nil
}

// rune writes a character that took n bytes.
func (t *javaRegexp) rune(r rune, n int) {
	fmt.Fprintf(&t.b, `\x{%x}`, r)
	t.i += n
}

// literal writes characters that stand for themselves.
func (t *javaRegexp) literal(s string) {
	for _, r := range s {
		if r < utf8.RuneSelf && !isLetter(byte(r)) && !isDigit(byte(r)) {
			fmt.Fprintf(&t.b, `\x{%x}`, r)
		} else {
			t.b.WriteRune(r)
		}
	}
}

// unicode copies \uhhhh, or two of them that are one character.
func (t *javaRegexp) unicode() error {
	r, ok := t.unit(t.i)
	if !ok {
		return errors.New(`\u wants four digits`)
	}
	if low, ok := t.unit(t.i + 6); ok && utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			t.rune(pair, 12)
			return nil
		}
	}
	t.rune(r, 6)
	return nil
}

// unit is the code of a \uhhhh at s[i].
func (t *javaRegexp) unit(i int) (rune, bool) {
	if len(t.s) < i+6 || t.s[i:i+2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(t.s[i+2:i+6], 16, 32)
	return rune(n), err == nil
}

// octal copies \0n, \0nn and \0mnn.
func (t *javaRegexp) octal(s string) error {
	n, v := 0, 0
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7' && v*8+int(s[n]-'0') <= 0377 {
		v = v*8 + int(s[n]-'0')
		n++
	}
	if n == 0 {
		return errors.New(`\0 wants octal digits`)
	}
	t.rune(rune(v), 2+n)
	return nil
}

// property copies \p{Alpha} and what is like it, and \p{IsLatin}.
func (t *javaRegexp) property(rest string, negated, inClass bool) bool {
	end := strings.IndexByte(rest, '}')
	if end < 0 || rest[1] != '{' {
		return false
	}
	name := rest[2:end]
	text := ""
	if class, ok := posix[name]; ok {
		not := ""
		if negated {
			not = "^"
		}
		if text = "[:" + not + class + ":]"; !inClass {
			text = "[" + text + "]"
		}
	} else if script, ok := strings.CutPrefix(name, "Is"); ok {
		text = `\` + rest[:1] + "{" + script + "}"
	} else {
		return false
	}
	t.b.WriteString(text)
	t.i += 1 + end + 1
	return true
}
