package shadow

import (
	"context"
	"iter"
	"time"
)

// A Store keeps documents. It does not merge, count or check: what it is given
// it gives back. All methods may be called from many goroutines.
// Implementations are checked by shadowtest.TestStore.
type Store interface {
	// Load returns the document of ref, or its tombstone (Document.Deleted).
	// ErrNotFound means that there is neither. The caller does not modify what
	// it gets.
	Load(ctx context.Context, ref Ref) (Document, error)

	// Save stores doc, which may be a tombstone, if the stored version, that of
	// a tombstone included, is prev; 0 means that nothing is stored. Otherwise
	// nothing changes and the error is ErrVersionConflict. When Save returns
	// nil the document is as durable as the store makes it. The store may keep
	// the slices of doc: nobody modifies them.
	Save(ctx context.Context, ref Ref, doc Document, prev int64) error

	// Names lists the named shadows of thing in byte order, those after the
	// name after. Classic shadows and tombstones are left out. A name saved or
	// deleted meanwhile may or may not be listed; all others are, once.
	Names(ctx context.Context, thing, after string) iter.Seq2[string, error]

	// Refs lists every shadow of every thing, each thing's together, classic
	// first, without tombstones.
	Refs(ctx context.Context) iter.Seq2[Ref, error]

	// Purge removes the tombstones with a Time before before, and the history
	// kept of their shadows. It returns how many.
	Purge(ctx context.Context, before time.Time) (int, error)
}

// A Historian is a Store that keeps what Save replaced, a bounded number of
// documents for each shadow. Only implement it where the old document is kept by
// the same atomic write that stores the new one. shadowtest.TestHistorian
// checks it.
type Historian interface {
	// History lists the documents, tombstones too, that came before the one
	// stored now, newest first, as far back as the store keeps them. A shadow
	// that starts again at version 1 has no history from before.
	History(ctx context.Context, ref Ref) iter.Seq2[Document, error]

	// Trim forgets the documents that were replaced before before, which is
	// when the next one has its Time. It returns how many.
	Trim(ctx context.Context, before time.Time) (int, error)
}
