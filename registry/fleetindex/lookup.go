package fleetindex

import (
	"context"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
)

// Conditions are of two kinds. The entries of one value are in the order of names, so that they are walked, and several
// of them at once. Those of a range or a beginning are in the order of values: their names are collected and sorted.

// Bounds are how much is done of what may be for nothing.
type bounds struct {
	// few and many are how many names of a condition are collected: few where another condition is there to be walked,
	// or a smaller one to be collected. Beyond that, what it rules out is found by reading documents.
	few, many int

	// dense is how many documents are read, in the order of names, where a condition has more names than some: as it has so
	// many, these often fill a page. Then they are collected, many at once.
	some, dense int

	// read is of how many things that match an aggregation reads the documents, rather than all entries of its field.
	read int
}

var defaultBounds = bounds{few: 1024, many: 128 << 10, some: 16 << 10, dense: 4096, read: 4096}

// unlimited stands for no limit of what is collected: so many names in parts, as a search needs a page alone.
const unlimited = math.MaxInt

// A lookup finds the names for a query.
type lookup struct {
	space *space
	bounds
}

// A found walks names. exact is set if the query matches all of them; otherwise they hold all that it matches.
type found struct {
	cursor
	exact bool
}

// candidates yields the names that come after one and hold all things that q matches, in order, each once.
func (ix *Index) candidates(ctx context.Context, s *space, q *fleet.Query, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		l := lookup{s, ix.bounds}
		c, _, err := l.cursor(ctx, q.Plan(), next(after), unlimited)
		for name := ""; err == nil; after = name {
			if name, err = c.seek(ctx, next(after)); err != nil || name == "" {
				break
			}
			if !yield(name, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

// cursor walks what p finds from a name on. ok is false if more than limit names had to be collected for it.
func (l *lookup) cursor(ctx context.Context, p *fleet.Plan, from string, limit int) (c found, ok bool, err error) {
	switch {
	case p.Every:
		return found{l.registered(), p.Exact}, true, nil
	case p.Not != nil:
		return l.all(ctx, []*fleet.Plan{p}, from, limit)
	case p.All != nil:
		c, ok, err = l.all(ctx, p.All, from, limit)
		c.exact = c.exact && p.Exact
		return c, ok, err
	}
	var of []cursor
	exact := p.Exact
	for _, one := range p.Any {
		c, ok, err := l.cursor(ctx, one, from, limit)
		if err != nil || !ok {
			return found{}, false, err
		}
		of, exact = append(of, c.cursor), exact && c.exact
	}
	for i, t := range p.Terms {
		one := l.term(t)
		if t.Kind == fleet.Word && i+1 < len(p.Terms) && p.Terms[i+1].Kind == fleet.Number && p.Terms[i+1].Text == t.Text {
			// a number as it is usually written: both are entries of one value
			of, exact = append(of, l.keys(l.text(t.Field)+cut(t.Text)+sep, word|canonical)), exact && one.exact
			break
		}
		exact = exact && one.exact
		of = append(of, one.walked...)
		for _, r := range one.collected {
			c, ok, err := l.collected(ctx, r, from, limit)
			if err != nil || !ok {
				return found{}, false, err
			}
			of, exact = append(of, c.cursor), exact && c.exact
		}
	}
	return found{newUnion(of), exact}, true, nil
}

// all walks what all plans find, or some of them if the others find too much.
func (l *lookup) all(ctx context.Context, plans []*fleet.Plan, from string, limit int) (found, bool, error) {
	var positive []*fleet.Plan
	var negative []*fleet.Plan
	for _, p := range plans {
		if p.Not != nil {
			negative = append(negative, p)
		} else {
			positive = append(positive, p)
		}
	}
	c, ok, err := l.each(ctx, positive, from, limit)
	if err != nil || !ok {
		return found{}, false, err
	}
	for _, p := range negative {
		switch without, ok, err := l.cursor(ctx, p.Not, from, min(l.some, limit)); {
		case err != nil:
			return found{}, false, err
		case ok && without.exact:
			c = found{difference{c.cursor, without}, c.exact && p.Exact}
		default:
			c.exact = false
		}
	}
	return c, true, nil
}

// each is all of plans without Not.
func (l *lookup) each(ctx context.Context, plans []*fleet.Plan, from string, limit int) (found, bool, error) {
	if len(plans) == 0 {
		return found{l.registered(), true}, true, nil
	}
	for _, most := range []int{min(l.few, limit), min(l.many, limit)} {
		var of intersection
		exact := true
		for _, p := range plans {
			c, ok, err := l.cursor(ctx, p, from, most)
			if err != nil {
				return found{}, false, err
			}
			if exact = exact && ok && c.exact; ok {
				of = append(of, c.cursor)
			}
		}
		switch len(of) {
		case 0:
			continue
		case 1:
			return found{of[0], exact}, true, nil
		}
		return found{of, exact}, true, nil
	}
	if limit < unlimited {
		return found{}, false, nil
	}
	c, ok, err := l.cursor(ctx, plans[0], from, limit)
	c.exact = c.exact && len(plans) == 1
	return c, ok, err
}

// registered walks all things.
func (l *lookup) registered() *keys { return l.keys(keyRegistered, 0) }

func (l *lookup) keys(prefix string, roles role) *keys {
	return &keys{space: l.space, prefix: prefix, roles: roles}
}

// A stretch is the entries below a prefix, in some roles, whose values are from low to high.
type stretch struct {
	prefix, low string
	roles       role
	within      func(value string) bool // false ends it
	except      string                  // a value that does not belong to it
	excepts     bool                    // there is one
}

// A termLookup is how a term is looked up: cursors, and what has to be collected.
type termLookup struct {
	walked    []cursor
	collected []stretch
	exact     bool
}

// text is the prefix of texts of a field, or of all that are searched by default.
func (l *lookup) text(field string) string {
	if field == "" {
		return keyAnyText
	}
	return keyText + field + sep
}

func (l *lookup) term(t fleet.Term) termLookup {
	text, exact := l.text(t.Field), intact(t.Text)
	switch t.Kind {
	case fleet.Word:
		return termLookup{[]cursor{l.keys(text+cut(t.Text)+sep, word)}, nil, exact}
	case fleet.Number:
		return termLookup{[]cursor{l.keys(text+cut(t.Text)+sep, canonical)}, nil, exact}
	case fleet.Prefix:
		head := cut(t.Text)
		begins := func(value string) bool { return strings.HasPrefix(value, head) }
		return termLookup{nil, []stretch{{prefix: text, low: head, roles: word, within: begins}}, exact}
	case fleet.NumberRange:
		high := orderedNumber(t.Up)
		r := stretch{prefix: keyNumber + t.Field + sep, low: orderedNumber(t.Low), within: func(value string) bool { return value <= high }}
		return termLookup{nil, []stretch{r}, true}
	case fleet.TextRange:
		return l.textRange(t, text)
	}
	return termLookup{nil, []stretch{{prefix: text, roles: whole, within: func(string) bool { return true }}}, true}
}

func (l *lookup) textRange(t fleet.Term, prefix string) termLookup {
	low, high := cut(t.Text), cut(t.High)
	r := stretch{prefix: prefix, low: low, roles: whole, within: func(value string) bool { return value <= high }}
	exact := (t.NoLow || intact(t.Text)) && (t.NoHigh || intact(t.High))
	if t.NoLow {
		r.low = ""
	} else if t.LowOut && exact {
		r.except, r.excepts = low, true
	}
	switch {
	case t.NoHigh:
		r.within = func(string) bool { return true }
	case t.HighOut && exact:
		r.within = func(value string) bool { return value < high }
	}
	return termLookup{nil, []stretch{r}, exact}
}

// collected walks the names of a stretch.
func (l *lookup) collected(ctx context.Context, r stretch, from string, limit int) (found, bool, error) {
	most := limit
	if limit == unlimited {
		most = l.some
	}
	names, whole, err := l.lowest(ctx, r, from, most, true)
	switch {
	case err != nil:
		return found{}, false, err
	case whole:
		return found{(*set)(&names), true}, true, nil
	case limit < unlimited:
		return found{}, false, nil
	}
	return found{&parts{lookup: l, stretch: r, all: l.registered(), budget: l.dense}, false}, true, nil
}

// A parts walks the names of a stretch that has too many, after the first things of all, which are cheaper to read.
type parts struct {
	*lookup
	stretch stretch
	all     *keys
	budget  int
	names   set
	last    bool // names are the last ones
}

func (p *parts) seek(ctx context.Context, name string) (string, error) {
	if p.budget > 0 {
		p.budget--
		return p.all.seek(ctx, name)
	}
	for {
		at, err := p.names.seek(ctx, name)
		if err != nil || at != "" || p.last {
			return at, err
		}
		names, whole, err := p.lowest(ctx, p.stretch, name, p.many, false)
		if err != nil {
			return "", err
		}
		p.names, p.last = names, whole
	}
}

// entries yields those of a stretch.
func (l *lookup) entries(ctx context.Context, r stretch) iter.Seq2[posting, error] {
	return func(yield func(posting, error) bool) {
		after := ""
		if r.low != "" {
			after = r.prefix + r.low // behind which are all keys that have that value or a higher one
		}
		for e, err := range l.space.Scan(ctx, r.prefix, after) {
			if err != nil {
				yield(posting{}, err)
				return
			}
			i := strings.LastIndex(e.Key, sep)
			value := e.Key[len(r.prefix):i]
			if !r.within(value) {
				return
			}
			if !in(e, r.roles) || r.excepts && value == r.except {
				continue
			}
			if !yield(posting{value, e.Key[i+1:], e}, nil) {
				return
			}
		}
	}
}

// A posting is an entry with its parts.
type posting struct {
	value, name string
	entry       registry.Entry
}

// lowest collects the names of a stretch that are not before one: the lowest most of them, in order, or none where giveUp
// is set and there are more. whole tells that these are all.
func (l *lookup) lowest(ctx context.Context, r stretch, from string, most int, giveUp bool) (names []string, whole bool, err error) {
	whole = true
	reduce := func() {
		slices.Sort(names)
		if names = slices.Compact(names); len(names) > most {
			names, whole = names[:most], false
		}
	}
	for p, err := range l.entries(ctx, r) {
		if err != nil {
			return nil, false, err
		}
		if p.name < from || !whole && p.name > names[most-1] {
			continue
		}
		if names = append(names, p.name); len(names) < 2*most {
			continue
		}
		if reduce(); !whole && giveUp {
			return nil, false, nil
		}
	}
	reduce()
	return names, whole, nil
}
