package sql

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A SyntaxError is a text that is not a statement, an expression or a
// template. Packages that show it to users turn it into an error type of
// their own.
type SyntaxError struct {
	Offset   int    // byte offset into the text, between 0 and its length
	Line     int    // from 1
	Column   int    // from 1, in characters
	Msg      string // what is wrong
	Expected string // what would have been right, or empty
	Nearest  string // the known name nearest to a misspelt one, or empty
	Snippet  string // the line, a newline, and a caret below the column
}

// Error gives everything in one line; Snippet is for those who have two.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d, column %d: %s", e.Line, e.Column, e.Msg)
	if e.Expected != "" {
		fmt.Fprintf(&b, ", expected %s", e.Expected)
	}
	if e.Nearest != "" {
		fmt.Fprintf(&b, ", did you mean %s?", e.Nearest)
	}
	return b.String()
}

// ErrLimit reports an evaluation that was abandoned because it would have
// used more time or memory than its limits allow. The same message will fail
// again.
var ErrLimit = errors.New("evaluation limit exceeded")

// ErrNotJSON reports that a payload which is not JSON was to become part of a
// JSON output, as in SELECT *, 1 AS x.
var ErrNotJSON = errors.New("the payload is not JSON, or no object where its members are wanted, and cannot be part of a JSON output; encode(*, 'base64') it")

// A FunctionError is the failure of a function that asks the outside or of a
// host's own function. The evaluation was abandoned.
type FunctionError struct {
	Function string
	Err      error
}

func (e *FunctionError) Error() string { return e.Function + "(): " + e.Err.Error() }
func (e *FunctionError) Unwrap() error { return e.Err }

// snippetRunes is how much of a long line a Snippet shows on either side.
const snippetRunes = 60

// syntaxError makes a SyntaxError for the place offset of text.
func syntaxError(text string, offset int, msg string) *SyntaxError {
	offset = max(0, min(offset, len(text)))
	before := text[:offset]
	e := &SyntaxError{Offset: offset, Msg: msg, Line: 1 + strings.Count(before, "\n")}
	head := before[strings.LastIndexByte(before, '\n')+1:]
	tail, _, _ := strings.Cut(text[offset:], "\n")
	tail = strings.TrimSuffix(tail, "\r")
	e.Column = 1 + utf8.RuneCountInString(head)

	h, t := []rune(head), []rune(tail)
	left, right := "", ""
	if len(h) > snippetRunes {
		h, left = h[len(h)-snippetRunes:], "..."
	}
	if len(t) > snippetRunes {
		t, right = t[:snippetRunes], "..."
	}
	// Tabs stay tabs in the caret's line, so that both lines align.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, left+string(h))
	e.Snippet = left + string(h) + string(t) + right + "\n" + pad + "^"
	return e
}

// nearest is the name closest to word within two edits, or empty.
func nearest(word string, names func(yield func(string) bool)) string {
	word = strings.ToLower(word)
	if len(word) > 64 {
		return ""
	}
	best, dist := "", 3
	names(func(n string) bool {
		d := editDistance(word, n)
		if d < dist && d < len(n) || d == dist && best != "" && n < best {
			best, dist = n, d
		}
		return true
	})
	return best
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours between two short names.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// ErrorAt makes a SyntaxError about the place offset of text, for what a host
// checks itself.
func ErrorAt(text string, offset int, msg string) *SyntaxError {
	return syntaxError(text, offset, msg)
}
