package telemetry

import (
	"context"
	"io"
	"iter"
	"time"
)

// A Bucket keeps objects under slash-separated keys. Files writes into one;
// DirBucket is a directory.
type Bucket interface {
	// Put stores body under key, whole or not at all, and returns once that
	// is durable. What is there under the key is replaced, and must not become
	// unreadable in between; Files only ever puts the same body again (after a
	// crash). Put does not keep body.
	Put(ctx context.Context, key string, body []byte) error
}

// A Lister is a Bucket that can be read, as telemetryhttp does.
type Lister interface {
	// List yields the objects whose keys begin with prefix and sort after
	// after, ordered by key.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]

	// Open returns an object's content, or ErrNotFound. The caller closes it.
	Open(ctx context.Context, key string) (io.ReadSeekCloser, Object, error)
}

// An Object is what a bucket says of one of its entries.
type Object struct {
	Key   string
	Bytes int64
	Time  time.Time // of its last write
}
