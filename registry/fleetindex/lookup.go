package fleetindex

import (
	"context"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry/fleet"
)

// Conditions are of two kinds. The entries of one value are in the order of names, so that they are walked, and several
// of them at once. Those of a range or a beginning are in the order of values: their names are collected and sorted.

// Bounds are how much a search does of what may be for nothing.
type bounds struct {
	// few and many are how many names of a condition are collected: few where another condition is there to be walked,
	// or a smaller one to be collected. Beyond that, what it rules out is found by reading documents.
	few, many int

	// dense is how many documents are read, in the order of names, where a condition has more names than some: as it has so
	// many, these often fill a page. Then they are collected, many at once.
	some, dense int
}

var defaultBounds = bounds{few: 1024, many: 128 << 10, some: 16 << 10, dense: 4096}

// candidates yields the names that come after one and hold all things that q matches, in order, each once.
func (ix *Index) candidates(ctx context.Context, q *fleet.Query, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c, _, err := ix.cursor(ctx, q.Plan(), next(after), math.MaxInt)
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

// cursor walks what p finds from a name on. ok is false if more than limit names had to be collected for it; without
// limit they are collected in parts.
func (ix *Index) cursor(ctx context.Context, p *fleet.Plan, from string, limit int) (c cursor, ok bool, err error) {
	switch {
	case p == nil:
		return ix.keys(keyDoc), true, nil
	case p.All != nil:
		return ix.all(ctx, p.All, from, limit)
	case p.Any != nil:
		var of []cursor
		for _, one := range p.Any {
			c, ok, err := ix.cursor(ctx, one, from, limit)
			if err != nil || !ok {
				return nil, false, err
			}
			of = append(of, c)
		}
		return newUnion(of), true, nil
	}
	var of []cursor
	for _, t := range p.Terms {
		cursors, unordered := ix.term(t)
		of = append(of, cursors...)
		for _, r := range unordered {
			c, ok, err := ix.collected(ctx, r, from, limit)
			if err != nil || !ok {
				return nil, false, err
			}
			of = append(of, c)
		}
	}
	return newUnion(of), true, nil
}

// all walks what all plans find, or some of them if the others find too much.
func (ix *Index) all(ctx context.Context, plans []*fleet.Plan, from string, limit int) (cursor, bool, error) {
	for _, most := range []int{min(ix.bounds.few, limit), min(ix.bounds.many, limit)} {
		var of intersection
		for _, p := range plans {
			c, ok, err := ix.cursor(ctx, p, from, most)
			if err != nil {
				return nil, false, err
			}
			if ok {
				of = append(of, c)
			}
		}
		switch len(of) {
		case 0:
			continue
		case 1:
			return of[0], true, nil
		}
		return of, true, nil
	}
	if limit < math.MaxInt {
		return nil, false, nil
	}
	return ix.cursor(ctx, plans[0], from, limit)
}

func (ix *Index) keys(prefix string) *keys { return &keys{store: ix.store, prefix: prefix} }

// A stretch is the entries below a prefix whose values are from low to high.
type stretch struct {
	prefix, low string
	within      func(value string) bool // false ends it
}

// term is how a term is looked up: cursors, and what has to be collected.
func (ix *Index) term(t fleet.Term) (walked []cursor, collected []stretch) {
	text, word, number := keyText+t.Field+sep, keyWord+t.Field+sep, keyNumber+t.Field+sep
	switch t.Kind {
	case fleet.Word:
		value := cut(t.Text) + sep
		if t.Field == "" {
			return []cursor{ix.keys(keyAnyWord + value)}, nil
		}
		return []cursor{ix.keys(text + value), ix.keys(word + value)}, nil
	case fleet.Number:
		if t.Field == "" {
			number = keyAnyNumber
		}
		return []cursor{ix.keys(number + orderedNumber(t.Low) + sep)}, nil
	case fleet.Prefix:
		head := cut(t.Text)
		begins := func(value string) bool { return strings.HasPrefix(value, head) }
		if t.Field != "" {
			return nil, []stretch{{text, head, begins}, {word, head, begins}}
		}
		if head[0] == '-' || head[0] >= '0' && head[0] <= '9' { // numbers have no words there
			return []cursor{ix.keys(keyDoc)}, nil
		}
		return nil, []stretch{{keyAnyWord, head, begins}}
	case fleet.NumberRange:
		low, high := orderedNumber(t.Low), orderedNumber(t.Up)
		return nil, []stretch{{number, low, func(value string) bool { return value <= high }}}
	case fleet.TextRange:
		low, high := cut(t.Text), cut(t.High)
		if t.NoLow {
			low = ""
		}
		return nil, []stretch{{text, low, func(value string) bool { return t.NoHigh || value <= high }}}
	}
	return nil, []stretch{{text, "", func(string) bool { return true }}}
}

// collected walks the names of a stretch.
func (ix *Index) collected(ctx context.Context, r stretch, from string, limit int) (cursor, bool, error) {
	most := limit
	if limit == math.MaxInt {
		most = ix.bounds.some
	}
	names, whole, err := ix.lowest(ctx, r, from, most, true)
	switch {
	case err != nil:
		return nil, false, err
	case whole:
		return (*set)(&names), true, nil
	case limit < math.MaxInt:
		return nil, false, nil
	}
	return &parts{ix: ix, stretch: r, docs: ix.keys(keyDoc), budget: ix.bounds.dense}, true, nil
}

// A parts walks the names of a stretch that has too many, after the first documents, which are cheaper.
type parts struct {
	ix      *Index
	stretch stretch
	docs    *keys
	budget  int
	names   set
	last    bool // names are the last ones
}

func (p *parts) seek(ctx context.Context, name string) (string, error) {
	if p.budget > 0 {
		p.budget--
		return p.docs.seek(ctx, name)
	}
	for {
		at, err := p.names.seek(ctx, name)
		if err != nil || at != "" || p.last {
			return at, err
		}
		names, whole, err := p.ix.lowest(ctx, p.stretch, name, p.ix.bounds.many, false)
		if err != nil {
			return "", err
		}
		p.names, p.last = names, whole
	}
}

// lowest collects the names of a stretch that are not before one: the lowest most of them, in order, or none where giveUp
// is set and there are more. whole tells that these are all.
func (ix *Index) lowest(ctx context.Context, r stretch, from string, most int, giveUp bool) (names []string, whole bool, err error) {
	whole = true
	reduce := func() {
		slices.Sort(names)
		if names = slices.Compact(names); len(names) > most {
			names, whole = names[:most], false
		}
	}
	after := ""
	if r.low != "" {
		after = r.prefix + r.low // behind which are all keys that have that value or a higher one
	}
	for e, err := range ix.store.Scan(ctx, r.prefix, after) {
		if err != nil {
			return nil, false, err
		}
		i := strings.LastIndex(e.Key, sep)
		if !r.within(e.Key[len(r.prefix):i]) {
			break
		}
		name := e.Key[i+1:]
		if name < from || !whole && name > names[most-1] {
			continue
		}
		if names = append(names, name); len(names) < 2*most {
			continue
		}
		if reduce(); !whole && giveUp {
			return nil, false, nil
		}
	}
	reduce()
	return names, whole, nil
}
