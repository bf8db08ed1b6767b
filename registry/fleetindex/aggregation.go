package fleetindex

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry/fleet"
)

// An aggregation counts the things that match a query by the values of a field.
type aggregation struct {
	lookup
	query  *fleet.Query
	field  Field
	counts []counted // in no order, each value once
	total  int       // things that match, where that is asked for

	all   bool          // the query matches all things
	names []string      // of those that it matches otherwise, in order, if documents did not decide
	hits  int           // of those that it matches, if documents did
	read  map[value]int // counts of documents
	long  []string      // things with a value that is longer than its entry
}

// A value is one that counts are kept by: of a field of numbers the number, else the text.
type value struct {
	text   string
	number float64
}

// A counted is a value, and how many things have it.
type counted struct {
	value
	count int
}

// aggregate counts. Where the index decides alone what matches, the entries of the field are walked, and no document is
// read.
func (ix *Index) aggregate(ctx context.Context, query, name string, total bool) (*aggregation, error) {
	if name == "" {
		name = DefaultField
	}
	q, err := fleet.Parse(query)
	if err != nil {
		return nil, err
	}
	if err := ix.ready(); err != nil {
		return nil, err
	}
	field, err := ix.Config().field(name)
	if err != nil {
		return nil, err
	}
	b := ix.bounds
	b.few, b.many, b.some = most, most, most // all is needed, not a page
	s := ix.reading()
	defer s.leave()
	a := &aggregation{lookup: lookup{s, b}, query: q, field: field, read: map[value]int{}}
	if err := a.count(ctx); err != nil {
		return nil, err
	}
	if total {
		if a.total, err = a.matched(ctx); err != nil {
			return nil, err
		}
	}
	for v, n := range a.read {
		a.counts = append(a.counts, counted{v, n})
	}
	return a, nil
}

// most is more names than there are, and twice of it an int.
const most = 1 << 30

func (a *aggregation) count(ctx context.Context) error {
	p := a.query.Plan()
	if a.all = p.Every && p.Exact; a.all {
		return a.walk(ctx)
	}
	c, _, err := a.cursor(ctx, p, next(""), unlimited)
	if err != nil {
		return err
	}
	for name, err := c.seek(ctx, next("")); ; name, err = c.seek(ctx, next(name)) {
		switch {
		case err != nil:
			return err
		case name == "" && c.exact && len(a.names) > a.bounds.read:
			return a.walk(ctx)
		case name == "":
			return a.readAll(ctx)
		case c.exact:
			a.names = append(a.names, name)
		default:
			if err := a.readOne(ctx, name); err != nil {
				return err
			}
		}
	}
}

// readAll counts the few things that match.
func (a *aggregation) readAll(ctx context.Context) error {
	names := a.names
	a.names = nil
	for _, name := range names {
		if err := a.readOne(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// readOne counts a thing if it matches.
func (a *aggregation) readOne(ctx context.Context, name string) error {
	hit, ok, err := a.space.match(ctx, a.query, name)
	if err != nil || !ok {
		return err
	}
	a.hits++
	for _, v := range a.values(&hit) {
		a.read[v]++
	}
	return nil
}

// values are those of a thing, each once.
func (a *aggregation) values(h *Hit) (values []value) {
	for _, v := range a.field.values(h) {
		one := value{text: v.Text}
		if a.field.Type == Number {
			one = value{number: v.Number}
		}
		if !slices.Contains(values, one) {
			values = append(values, one)
		}
	}
	return values
}

// matched is how many things the query matches.
func (a *aggregation) matched(ctx context.Context) (int, error) {
	if !a.all {
		return a.hits + len(a.names), nil
	}
	n := 0
	for _, err := range a.space.Scan(ctx, keyRegistered, "") {
		if err != nil {
			return 0, fmt.Errorf("fleetindex: aggregation: %w", err)
		}
		n++
	}
	return n, nil
}

// walk counts the entries of the field that are of things that match.
func (a *aggregation) walk(ctx context.Context) error {
	r := stretch{prefix: a.field.key() + sep, within: func(string) bool { return true }}
	switch a.field.Type {
	case Boolean:
		r.roles = ofBoolean
	case String:
		r.roles = ofString
	}
	current, n := "", 0 // the value whose entries are walked, and how many of them count
	of := set(a.names)
	for p, err := range a.entries(ctx, r) {
		if err != nil {
			return fmt.Errorf("fleetindex: aggregation: %w", err)
		}
		if p.value != current {
			if err := a.add(current, n); err != nil {
				return err
			}
			current, n, of = p.value, 0, set(a.names)
		}
		if !a.all { // the names of one value are in order
			if at, _ := of.seek(ctx, p.name); at != p.name {
				continue
			}
		}
		if a.field.Type == Number || intact(p.value) {
			n++
		} else {
			a.long = append(a.long, p.name)
		}
	}
	if err := a.add(current, n); err != nil {
		return err
	}
	return a.readLong(ctx)
}

// add counts n things with a value, as its entries have it.
func (a *aggregation) add(text string, n int) (err error) {
	if n == 0 {
		return nil
	}
	v := value{text: text}
	if a.field.Type == Number {
		v = value{}
		if v.number, err = numberOf(text); err != nil {
			return fmt.Errorf("fleetindex: aggregation: a number's entry: %w", err)
		}
	}
	a.counts = append(a.counts, counted{v, n})
	return nil
}

// readLong counts what entries have cut.
func (a *aggregation) readLong(ctx context.Context) error {
	slices.Sort(a.long)
	for _, name := range slices.Compact(a.long) {
		hit, ok, err := a.space.match(ctx, a.query, name)
		if err != nil {
			return err
		}
		for _, v := range a.values(&hit) {
			if ok && !intact(cut(v.text)) {
				a.read[v]++
			}
		}
	}
	return nil
}

// key is the prefix of the entries of a field.
func (f Field) key() string {
	switch name := strings.TrimPrefix(f.Name, "registry."); {
	case f.Name == DefaultField:
		return keyNumber + DefaultField
	case f.Type == Number:
		return keyNumber + name
	default:
		return keyText + name
	}
}
