package fleetindex

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

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

	doc *fleet.Document // made when it is asked for
}

// Values are those of a field of the query language. It is not for several goroutines at once.
func (h *Hit) Values(field string) []fleet.Value {
	if h.doc == nil {
		h.doc = fleet.NewDocument(fleet.Thing{Name: h.Name, ID: h.ID, Type: h.Type, Groups: h.Groups, Attributes: h.Attributes,
			Shadow: h.Shadow, Defender: h.Defender, Connectivity: h.Connectivity})
	}
	return h.doc.Values(field)
}

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
	s := ix.reading()
	defer s.leave()
	for name, err := range ix.candidates(ctx, s, q, after) {
		if err != nil {
			return nil, "", err
		}
		hit, ok, err := s.match(ctx, q, name)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			continue
		}
		if len(hits) == limit {
			return hits, hits[limit-1].Name, nil
		}
		hits = append(hits, hit)
	}
	return hits, "", nil
}

// All yields all things that match query, each once, in the order of their names.
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
		s := ix.reading()
		defer s.leave()
		for name, err := range ix.candidates(ctx, s, q, "") {
			if err != nil {
				yield(Hit{}, err)
				return
			}
			hit, ok, err := s.match(ctx, q, name)
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
func (s *space) match(ctx context.Context, q *fleet.Query, name string) (Hit, bool, error) {
	var k Known
	found, err := s.load(ctx, name, &k)
	if err != nil || !found || k.Thing == nil {
		return Hit{}, false, err
	}
	t, all := k.Thing, k.fleetThing(name)
	if !q.MatchThing(all) {
		return Hit{}, false, nil
	}
	return Hit{Name: name, ID: t.ID, Type: t.Type, Groups: t.Groups, Attributes: t.Attributes, Version: t.Version,
		Shadow: all.Shadow, Defender: k.Defender, Connectivity: k.Connectivity}, true, nil
}
