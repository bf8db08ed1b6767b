package shadow

import (
	"context"
	"errors"
	"iter"
	"time"
)

// History lists the documents of ref, the present one first and then back, as
// far as the store and Options.HistoryAge keep them: every version with its
// time and author, and Deleted where the shadow was deleted. ErrNoHistory from
// a store that is no Historian, after the present document.
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
		oldest, bounded := s.historyBegin()
		newer := doc
		for old, err := range h.History(ctx, ref) {
			// A write between Load and here shows what was yielded again.
			if err == nil && old.Version >= newer.Version {
				continue
			}
			if err == nil && bounded && newer.Time.Before(oldest) {
				return // replaced too long ago; so is what came before
			}
			if !yield(old, err) || err != nil {
				return
			}
			newer = old
		}
	}
}

// historyBegin is the time before which what was replaced is forgotten.
func (s *Service) historyBegin() (t time.Time, bounded bool) {
	if s.opts.HistoryAge < 0 {
		return time.Time{}, false
	}
	return s.opts.Now().Add(-s.opts.HistoryAge), true
}

// At returns the document as it was at a version, with Deleted set where that
// version is the deletion. ErrNoHistory if the store does not keep it, or no longer.
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

// AtTime returns the document as it was at the time t, with Deleted set where
// the shadow was deleted then. ErrNotFound if it had not been made yet,
// ErrNoHistory if what it was is not kept any more.
func (s *Service) AtTime(ctx context.Context, ref Ref, t time.Time) (Document, error) {
	missing := ErrNotFound
	for doc, err := range s.History(ctx, ref) {
		if err != nil {
			return Document{}, err
		}
		if !doc.Time.After(t) {
			return doc, nil
		}
		if missing = ErrNoHistory; doc.Version == 1 {
			missing = ErrNotFound
		}
	}
	return Document{}, missing
}

// A Revision is one version of a shadow as the difference to the one before.
type Revision struct {
	Version int64
	Time    time.Time
	By      string // who wrote it, as WithPrincipal or Options.Principal told
	Deleted bool   // this version is the deletion of the shadow
	Fields  []FieldChange
}

// Revisions lists who changed which field when, newest first, as far back as a
// version and the one before it are kept. A version that wrote what was there
// already has no Fields.
func (s *Service) Revisions(ctx context.Context, ref Ref) iter.Seq2[Revision, error] {
	return func(yield func(Revision, error) bool) {
		var newer *Document
		tell := func(before Document) bool {
			fields, err := Diff(before, *newer)
			return yield(Revision{newer.Version, newer.Time, newer.By, newer.Deleted, fields}, err) && err == nil
		}
		for doc, err := range s.History(ctx, ref) {
			if err != nil {
				yield(Revision{}, err)
				return
			}
			if newer != nil && !tell(doc) {
				return
			}
			newer = &doc
		}
		if newer != nil && newer.Version == 1 {
			tell(Document{})
		}
	}
}
