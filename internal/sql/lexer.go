package sql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokWord
	tokVariable
	tokString
	tokNumber
	tokPunct
)

// A token is one lexical element. val is a word as written, a variable's name
// without @, a string's content, a number's text or the punctuation.
type token struct {
	kind     tokenKind
	pos, end int
	val      string
}

// maxVariableName is the longest name of a variable.
const maxVariableName = 64

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// lex reads the token at or after offset i.
func lex(text string, i int) (token, error) {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	if i == len(text) {
		return token{kind: tokEOF, pos: i, end: i}, nil
	}
	c := text[i]
	switch {
	case isLetter(c):
		j := wordEnd(text, i)
		return token{tokWord, i, j, text[i:j]}, nil
	case isDigit(c):
		return lexNumber(text, i)
	case c == '\'' || c == '"':
		return lexString(text, i)
	case c == '@':
		j := wordEnd(text, i+1)
		switch n := j - i - 1; {
		case n == 0:
			return token{}, syntaxError(text, i, "a variable is @ and a name of letters, digits and underscores")
		case n > maxVariableName:
			return token{}, syntaxError(text, i, fmt.Sprintf("a variable name has at most %d characters", maxVariableName))
		}
		return token{tokVariable, i, j, text[i+1 : j]}, nil
	case strings.HasPrefix(text[i:], "<>"), strings.HasPrefix(text[i:], "<="), strings.HasPrefix(text[i:], ">="):
		return token{tokPunct, i, i + 2, text[i : i+2]}, nil
	case strings.HasPrefix(text[i:], "=="):
		return token{}, hint(syntaxError(text, i, "there is no operator =="), "=")
	case strings.HasPrefix(text[i:], "!="):
		return token{}, hint(syntaxError(text, i, "there is no operator !="), "<>")
	case strings.HasPrefix(text[i:], "||"):
		return token{}, hint(syntaxError(text, i, "there is no operator ||"), "+, concat() or OR")
	case strings.HasPrefix(text[i:], "&&"):
		return token{}, hint(syntaxError(text, i, "there is no operator &&"), "AND")
	case c == '`':
		return token{}, hint(syntaxError(text, i, "names cannot be quoted"), "get(object, 'name')")
	case strings.IndexByte("+-*/%=<>.,:()[]{}", c) >= 0:
		return token{tokPunct, i, i + 1, text[i : i+1]}, nil
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	if r == utf8.RuneError && n == 1 {
		return token{}, syntaxError(text, i, fmt.Sprintf("byte %#02x is not UTF-8", c))
	}
	return token{}, syntaxError(text, i, fmt.Sprintf("unexpected character %q", r))
}

func hint(e *SyntaxError, expected string) *SyntaxError {
	e.Expected = expected
	return e
}

func wordEnd(text string, i int) int {
	for i < len(text) && (isLetter(text[i]) || isDigit(text[i])) {
		i++
	}
	return i
}

// lexNumber reads digits [. digits] [(e|E) [+|-] digits].
func lexNumber(text string, i int) (token, error) {
	digits := func(j int) int {
		for j < len(text) && isDigit(text[j]) {
			j++
		}
		return j
	}
	j := digits(i)
	if j < len(text) && text[j] == '.' {
		k := digits(j + 1)
		if k == j+1 {
			return token{}, hint(syntaxError(text, j, "a number cannot end in a point"), "a digit")
		}
		j = k
	}
	if j < len(text) && text[j]|0x20 == 'e' {
		k := j + 1
		if k < len(text) && (text[k] == '+' || text[k] == '-') {
			k++
		}
		m := digits(k)
		if m == k {
			return token{}, hint(syntaxError(text, j, "a number with an exponent that has no digits"), "a digit")
		}
		j = m
	}
	if j < len(text) && isLetter(text[j]) {
		return token{}, hint(syntaxError(text, i, "a name cannot begin with a digit"), "get(object, 'name')")
	}
	return token{tokNumber, i, j, text[i:j]}, nil
}

// lexString reads a string in single or double quotes. A doubled delimiter
// stands for one; a backslash is an ordinary character.
func lexString(text string, i int) (token, error) {
	quote := text[i]
	start, doubled := i+1, false
	for j := start; ; {
		k := strings.IndexByte(text[j:], quote)
		if k < 0 {
			return token{}, hint(syntaxError(text, i, "a string that does not end"), string(quote))
		}
		j += k
		if j+1 < len(text) && text[j+1] == quote {
			doubled = true
			j += 2
			continue
		}
		val := text[start:j]
		if !utf8.ValidString(val) {
			return token{}, syntaxError(text, i, "a string that is not UTF-8")
		}
		if doubled {
			q := string(quote)
			val = strings.ReplaceAll(val, q+q, q)
		}
		return token{tokString, i, j + 1, val}, nil
	}
}

// keywords are the words that cannot be the first name of a path.
var keywords = map[string]bool{
	"set": true, "select": true, "from": true, "where": true, "as": true, "and": true, "or": true,
	"not": true, "in": true, "exists": true, "case": true, "when": true, "then": true, "else": true,
	"end": true, "true": true, "false": true, "null": true, "cast": true,
}

// isKeyword reports whether word is reserved, without allocating.
func isKeyword(word string) bool {
	if len(word) < 2 || len(word) > 6 {
		return false
	}
	var b [6]byte
	for i := range len(word) {
		b[i] = word[i] | 0x20
	}
	return keywords[string(b[:len(word)])]
}
