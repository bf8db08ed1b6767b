package rules

import (
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

// A destination is what topics a template can make: levels, each of which is a
// text with holes, or # for one level or more.
type destination []level

// A level is a text with holes between its pieces, each of which may be filled
// with any text; or, if many, any number of levels, one at least.
type level struct {
	pieces []string
	many   bool
}

// fixed are the levels that d begins with and that have no holes; whole says
// that there are no others.
func (d destination) fixed() (levels []string, whole bool) {
	for _, l := range d {
		if l.many || len(l.pieces) > 1 {
			return levels, false
		}
		levels = append(levels, l.pieces[0])
	}
	return levels, true
}

// parseDestination is not ok for a template that does not compile, which the
// binder refuses, and for one that is nothing but a substitution.
func parseDestination(template, filter string) (destination, bool) {
	pieces, err := sql.TemplatePieces(template, nil)
	if err != nil {
		return nil, false
	}
	d := destination{{pieces: []string{""}}}
	text := func(s string) { last := &d[len(d)-1].pieces; (*last)[len(*last)-1] += s }
	for _, p := range pieces {
		switch {
		case p.Expr == nil:
			for i, s := range strings.Split(p.Text, "/") {
				if i > 0 {
					d = append(d, level{pieces: []string{""}})
				}
				text(s)
			}
		default:
			for i, s := range stands(p.Expr, filter) {
				if i > 0 {
					d = append(d, level{pieces: []string{""}})
				}
				switch s {
				case "#":
					d[len(d)-1].many = true
				case "+":
					last := &d[len(d)-1].pieces
					*last = append(*last, "")
				default:
					text(s)
				}
			}
		}
	}
	// A leading $$ is how a template spells the $ of a reserved topic.
	d[0].pieces[0] = strings.Replace(d[0].pieces[0], "$$", "$", 1)
	anything := len(pieces) <= 3 && len(d) == 1 && strings.Join(d[0].pieces, "") == ""
	return d, !anything
}

// stands are the levels that an expression stands for, as in a filter.
func stands(x sql.Node, filter string) []string {
	call, ok := x.(*sql.Call)
	if !ok || call.Name != "topic" || filter == "" {
		return []string{"+"}
	}
	levels := strings.Split(filter, "/")
	if len(call.Args) == 0 {
		return levels
	}
	n, ok := call.Args[0].(*sql.NumberLit)
	if !ok || len(n.Text) > 1 {
		return []string{"+"}
	}
	if i := int(n.Text[0] - '0'); i >= 1 && i <= len(levels) && levels[i-1] != "#" {
		return levels[i-1 : i]
	}
	return []string{"+"}
}

// reaches reports whether some topic of d reaches m.
func (d destination) reaches(m *node) bool {
	// A topic begins with $ only where the template says so.
	dollar := strings.HasPrefix(d[0].pieces[0], "$")
	if dollar && (d.matches([]string{"$aws", "rules", m.name, "#"}) || d.matches([]string{"$aws", "rules", m.name})) {
		return true
	}
	if !m.hasFilter || dollar != strings.HasPrefix(m.filter, "$") {
		return false
	}
	return d.matches(strings.Split(m.filter, "/"))
}

// matches reports whether some topic of d matches a filter, # being one level
// or more as in FROM.
func (d destination) matches(filter []string) bool {
	switch {
	case len(d) == 0 || len(filter) == 0:
		return len(d) == 0 && len(filter) == 0
	case filter[0] == "#":
		return true
	case d[0].many:
		// It takes one level of the filter, and ends or goes on.
		return d[1:].matches(filter[1:]) || d.matches(filter[1:])
	case filter[0] != "+" && !d[0].fits(filter[0]):
		return false
	}
	return d[1:].matches(filter[1:])
}

// fits reports whether the holes can be filled to make text.
func (l *level) fits(text string) bool {
	first, last := l.pieces[0], l.pieces[len(l.pieces)-1]
	if len(l.pieces) == 1 {
		return text == first
	}
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, p := range l.pieces[1 : len(l.pieces)-1] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return true
}
