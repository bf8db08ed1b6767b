package shadow

import (
	"context"
	"errors"
	"iter"
)

// History lists the documents of ref, the present one first and then back, as
// far as the store keeps them: every version with its time and author, and
// Deleted where the shadow was deleted. ErrNoHistory from a store that is no
// Historian, after the present document.
func (s *Service) History(ctx context.Context, ref Ref) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		if err := ref.Check(); err != nil {
			yield(Document{}, err)
			return
		}
		doc, err := s.store.Load(ctx, ref)
		switch {
		case errors.Is(err, ErrNotFound):
			return
		case err != nil:
			yield(Document{}, wrap(ref, "load", err))
			return
		}
		if !yield(doc, nil) {
			return
		}
		h, ok := s.store.(Historian)
		if !ok {
			yield(Document{}, ErrNoHistory)
			return
		}
		for old, err := range h.History(ctx, ref) {
			// A write between Load and here shows what was yielded again.
			if err == nil && old.Version >= doc.Version {
				continue
			}
			if !yield(old, err) || err != nil {
				return
			}
		}
	}
}

// At returns the document as it was at a version. ErrNoHistory if the store
// does not keep it, or no longer.
func (s *Service) At(ctx context.Context, ref Ref, version int64) (Document, error) {
	for doc, err := range s.History(ctx, ref) {
		if err != nil {
			return Document{}, err
		}
		if doc.Version == version {
			return doc, nil
		}
	}
	return Document{}, ErrNoHistory
}
