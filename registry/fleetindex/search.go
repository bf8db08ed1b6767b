package fleetindex

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry/fleet"
)

// A Hit is a thing that a query matched.
type Hit struct {
	Name, ID, Type string
	Groups         []string
	Attributes     map[string]string
	Version        int64
	Shadow         json.RawMessage // with the named ones under name; nil if there is none
	Defender       json.RawMessage
	Connectivity   *fleet.Connectivity

	doc *fleet.Document
}

// Values are those of a field of the query language.
func (h *Hit) Values(field string) []fleet.Value { return h.doc.Values(field) }

// Search returns the first limit things in the order of their names that come
// after the given one and match query, and the name to go on after, empty at the
// end. The error is a *fleet.SyntaxError, ErrNotReady, ErrOff, or the store's.
func (ix *Index) Search(ctx context.Context, query, after string, limit int) (hits []Hit, next string, err error) {
	q, err := fleet.Parse(query)
	if err != nil {
		return nil, "", err
	}
	if err := ix.ready(); err != nil {
		return nil, "", err
	}
	if limit <= 0 {
		return nil, "", fmt.Errorf("%w: a limit of %d", ErrInvalid, limit)
	}
	c := ix.candidates(ctx, q.Plan(), after)
	for name, err := range c.names {
		if err != nil {
			return nil, "", err
		}
		if name <= after {
			continue
		}
		if !c.ordered && len(hits) > limit && name >= hits[limit].Name {
			continue // behind this page anyway
		}
		hit, ok, err := ix.match(ctx, q, name)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			continue
		}
		if c.ordered {
			hits = append(hits, hit)
			if len(hits) > limit {
				break
			}
			continue
		}
		at, twice := slices.BinarySearchFunc(hits, name, func(h Hit, name string) int { return strings.Compare(h.Name, name) })
		if !twice {
			hits = slices.Insert(hits, at, hit)
			hits = hits[:min(len(hits), limit+1)]
		}
	}
	if len(hits) > limit {
		hits = hits[:limit]
		next = hits[limit-1].Name
	}
	return hits, next, nil
}

// All yields all things that match query, each once, in no particular order.
func (ix *Index) All(ctx context.Context, query string) iter.Seq2[Hit, error] {
	return func(yield func(Hit, error) bool) {
		q, err := fleet.Parse(query)
		if err == nil {
			err = ix.ready()
		}
		if err != nil {
			yield(Hit{}, err)
			return
		}
		c := ix.candidates(ctx, q.Plan(), "")
		seen := map[string]bool{}
		for name, err := range c.names {
			if err != nil {
				yield(Hit{}, err)
				return
			}
			if !c.ordered {
				if seen[name] {
					continue
				}
				seen[name] = true
			}
			hit, ok, err := ix.match(ctx, q, name)
			if err != nil {
				yield(Hit{}, err)
				return
			}
			if ok && !yield(hit, nil) {
				return
			}
		}
	}
}

// match asks one document.
func (ix *Index) match(ctx context.Context, q *fleet.Query, name string) (Hit, bool, error) {
	var r record
	found, err := ix.load(ctx, name, &r)
	if err != nil || !found || !r.Registered {
		return Hit{}, false, err
	}
	doc := r.document(name)
	if !q.Match(doc) {
		return Hit{}, false, nil
	}
	return Hit{Name: name, ID: r.ID, Type: r.Type, Groups: r.Groups, Attributes: r.Attributes, Version: r.Version,
		Shadow: r.shadow(), Defender: r.Defender, Connectivity: r.Connectivity, doc: doc}, true, nil
}

// candidates are names that hold all those a plan is for.
type candidates struct {
	names   iter.Seq2[string, error]
	ordered bool // by name, each once, and only those after the given one
}

func (ix *Index) candidates(ctx context.Context, p *fleet.Plan, after string) candidates {
	switch {
	case p == nil:
		if after != "" {
			after = keyDoc + after
		}
		return candidates{ix.keys(ctx, keyDoc, after, func(key string) (string, bool) { return key[len(keyDoc):], true }), true}
	case p.All != nil:
		return ix.fewest(ctx, p.All, after)
	case p.Any != nil:
		return candidates{names: func(yield func(string, error) bool) {
			for _, one := range p.Any {
				for name, err := range ix.candidates(ctx, one, after).names {
					if !yield(name, err) || err != nil {
						return
					}
				}
			}
		}}
	case len(p.Terms) == 1:
		return ix.term(ctx, p.Terms[0], after)
	}
	return candidates{names: func(yield func(string, error) bool) {
		for _, one := range p.Terms {
			for name, err := range ix.term(ctx, one, after).names {
				if !yield(name, err) || err != nil {
					return
				}
			}
		}
	}}
}

// fewest lets the conditions of an AND run against one another and takes the
// one that ends first: it has the fewest.
func (ix *Index) fewest(ctx context.Context, plans []*fleet.Plan, after string) candidates {
	const enough = 4096 // what is longer than this in all of them is not worth the race
	type runner struct {
		c    candidates
		next func() (string, error, bool)
		stop func()
	}
	runners := make([]runner, len(plans))
	for i, p := range plans {
		runners[i].c = ix.candidates(ctx, p, after)
		runners[i].next, runners[i].stop = iter.Pull2(runners[i].c.names)
	}
	defer func() {
		for _, r := range runners {
			r.stop()
		}
	}()
	for range enough {
		for _, r := range runners {
			if _, _, ok := r.next(); !ok {
				return r.c
			}
		}
	}
	for _, r := range runners {
		if r.c.ordered {
			return r.c
		}
	}
	return runners[0].c
}

// keys yields what name makes of the keys with a prefix that come after one.
func (ix *Index) keys(ctx context.Context, prefix, after string, name func(key string) (string, bool)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for e, err := range ix.store.Scan(ctx, prefix, after) {
			if err != nil {
				yield("", fmt.Errorf("fleetindex: search: %w", err))
				return
			}
			if thing, ok := name(e.Key); !ok || !yield(thing, nil) {
				return
			}
		}
	}
}

// lastPart is the thing of an entry.
func lastPart(key string) (string, bool) { return key[strings.LastIndex(key, sep)+1:], true }

// term looks up one term.
func (ix *Index) term(ctx context.Context, t fleet.Term, after string) candidates {
	prefix := map[fleet.TermKind]string{fleet.Word: keyWord, fleet.Prefix: keyWord, fleet.Number: keyNumber,
		fleet.NumberRange: keyNumber, fleet.TextRange: keyText, fleet.Exists: keyText}[t.Kind] + t.Field + sep
	if t.Field == "" {
		prefix = keyAnyWord
		if t.Kind == fleet.Number {
			prefix = keyAnyNumber
		}
	}
	// exact are the names under one value, which are in order.
	exact := func(value string) candidates {
		at := prefix + value + sep
		from := ""
		if after != "" {
			from = at + after
		}
		return candidates{ix.keys(ctx, at, from, lastPart), true}
	}
	switch t.Kind {
	case fleet.Word:
		return exact(cut(t.Text))
	case fleet.Number:
		return exact(orderedNumber(t.Low))
	case fleet.Prefix:
		return candidates{names: ix.keys(ctx, prefix+cut(t.Text), "", lastPart)}
	case fleet.NumberRange:
		return ix.between(ctx, prefix, orderedNumber(t.Low), orderedNumber(t.Up))
	case fleet.TextRange:
		low, high := cut(t.Text), cut(t.High)
		if t.NoLow {
			low = ""
		}
		if t.NoHigh {
			high = "\xff"
		}
		return ix.between(ctx, prefix, low, high)
	}
	return candidates{names: ix.keys(ctx, prefix, "", lastPart)}
}

// between yields the names under the values from low to high.
func (ix *Index) between(ctx context.Context, prefix, low, high string) candidates {
	// Scan begins after a key: one that is just before the first value.
	from := ""
	if low != "" {
		from = prefix + low
	}
	return candidates{names: ix.keys(ctx, prefix, from, func(key string) (string, bool) {
		i := strings.LastIndex(key, sep)
		return key[i+1:], key[len(prefix):i] <= high
	})}
}
