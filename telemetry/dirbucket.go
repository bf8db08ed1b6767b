package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A DirBucket is a Bucket in a directory. An object becomes visible whole:
// it is written to a temporary name (which begins with a dot), synced,
// renamed, and its directory synced. An object that exists with the same body
// is left untouched. Of two Puts of one key at a time one comes after the other.
//
// Keys are relative paths as io/fs has them, of elements that do not begin
// with a dot. An element is a name of a file or of a directory, not both: what
// lies at "a" keeps "a/b" from being put, and the other way round. One program writes into the directory at a time; any number may
// read, and may ignore names that begin with a dot.
type DirBucket struct {
	dir string
	fs  DirFS

	seed maphash.Seed
	keys [64]sync.Mutex // by hash of the key: one writer of a temporary name at a time

	mu    sync.Mutex
	known map[string]bool // directories that are there and durable
}

var (
	_ Bucket = (*DirBucket)(nil)
	_ Lister = (*DirBucket)(nil)
)

// DirOptions are the optional parts of a DirBucket. Nil is all defaults.
type DirOptions struct {
	// FS replaces the operating system's file system for writing, for tests
	// of crashes. List and Open do not use it.
	FS DirFS
}

// A DirFS is what DirBucket does with a file system. Names are paths of the
// operating system.
type DirFS interface {
	ReadFile(name string) ([]byte, error) // fs.ErrNotExist
	// WriteFile creates or truncates name, writes data and syncs the file.
	WriteFile(name string, data []byte) error
	Rename(from, to string) error
	Mkdir(name string) error   // fs.ErrExist
	SyncDir(name string) error // makes the names in a directory durable
}

// NewDirBucket returns a bucket in dir, which is made when first needed.
func NewDirBucket(dir string, opts *DirOptions) (*DirBucket, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("telemetry: bucket %s: %w", dir, err)
	}
	b := &DirBucket{dir: abs, fs: osFS{}, seed: maphash.MakeSeed(), known: make(map[string]bool)}
	if opts != nil && opts.FS != nil {
		b.fs = opts.FS
	}
	return b, nil
}

// checkKey keeps keys inside of the directory and away from temporary names.
func checkKey(key string) error {
	if !fs.ValidPath(key) || key == "." || len(key) > 1024 {
		return fmt.Errorf("%w: bucket key %q is not a relative path of at most 1024 bytes", ErrInvalidName, key)
	}
	for e := range strings.SplitSeq(key, "/") {
		if e[0] == '.' {
			return fmt.Errorf("%w: bucket key %q: %q begins with a dot", ErrInvalidName, key, e)
		}
		if strings.ContainsAny(e, "\x00\\:") {
			return fmt.Errorf("%w: bucket key %q: %q has a character that file systems refuse", ErrInvalidName, key, e)
		}
	}
	return nil
}

// Put implements Bucket.
func (b *DirBucket) Put(ctx context.Context, key string, body []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	lock := &b.keys[maphash.String(b.seed, key)%uint64(len(b.keys))]
	lock.Lock()
	defer lock.Unlock()
	err := b.put(key, body)
	for _, never := range []error{syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, never) { // no further attempt ends otherwise
			return fmt.Errorf("%w: bucket key %q: %w", ErrInvalidName, key, never)
		}
	}
	if err != nil {
		return fmt.Errorf("telemetry: bucket %s: %s: %w", b.dir, key, err)
	}
	return nil
}

func (b *DirBucket) put(key string, body []byte) error {
	dir, base := path.Split(key)
	dir = filepath.Join(b.dir, filepath.FromSlash(dir))
	if err := b.mkdir(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, base)
	// After a crash the object may be there. Then a reader may have it open
	// or may compare times, and there is no reason to write it again; but
	// its name need not be durable yet.
	old, err := b.fs.ReadFile(name)
	switch {
	case err == nil && bytes.Equal(old, body):
		return b.fs.SyncDir(dir)
	case errors.Is(err, syscall.EISDIR):
		return err // as the rename will say less clearly
	}
	// The temporary name is the same each time, so that a crash leaves
	// nothing behind that the next attempt does not overwrite.
	tmp := filepath.Join(dir, "."+base+".tmp")
	if err := b.fs.WriteFile(tmp, body); err != nil {
		return err
	}
	if err := b.fs.Rename(tmp, name); err != nil {
		return err
	}
	return b.fs.SyncDir(dir)
}

// mkdir makes dir and its parents, and makes each durable in its parent.
func (b *DirBucket) mkdir(dir string) error {
	b.mu.Lock()
	known := b.known[dir]
	b.mu.Unlock()
	if known {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := b.fs.Mkdir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := b.mkdir(parent); err != nil {
			return err
		}
		if err := b.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	} else if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also for one that existed: a crash may have come before this line.
	// Outside of the bucket that is somebody else's business.
	if strings.HasPrefix(dir, b.dir) {
		if dir != b.dir {
			if err := b.mkdir(parent); err != nil {
				return err
			}
		}
		if err := b.fs.SyncDir(parent); err != nil {
			return err
		}
	}
	b.mu.Lock()
	b.known[dir] = true
	b.mu.Unlock()
	return nil
}

// List implements Lister. Names that begin with a dot are not listed.
func (b *DirBucket) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		b.list(ctx, ".", prefix, after, yield)
	}
}

// list walks in the order of keys, in which "a.b" comes before "a/b": the
// names of directories are compared with their slash.
func (b *DirBucket) list(ctx context.Context, dir, prefix, after string, yield func(Object, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(Object{}, err)
		return false
	}
	entries, err := os.ReadDir(filepath.Join(b.dir, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(Object{}, fmt.Errorf("telemetry: bucket: %w", err))
		return false
	}
	key := func(e fs.DirEntry) string {
		k := path.Join(dir, e.Name())
		if e.IsDir() {
			k += "/"
		}
		return k
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(key(x), key(y)) })
	for _, e := range entries {
		k := key(e)
		switch {
		case e.Name()[0] == '.':
		case e.IsDir():
			overlaps := strings.HasPrefix(k, prefix) || strings.HasPrefix(prefix, k)
			if !overlaps || k < after && !strings.HasPrefix(after, k) {
				continue
			}
			if !b.list(ctx, path.Join(dir, e.Name()), prefix, after, yield) {
				return false
			}
		case strings.HasPrefix(k, prefix) && k > after:
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed by somebody while we list
			}
			if err != nil {
				yield(Object{}, fmt.Errorf("telemetry: bucket: %w", err))
				return false
			}
			if !yield(Object{Key: k, Bytes: info.Size(), Time: info.ModTime()}, nil) {
				return false
			}
		}
	}
	return true
}

// Open implements Lister.
func (b *DirBucket) Open(ctx context.Context, key string) (io.ReadSeekCloser, Object, error) {
	if err := checkKey(key); err != nil {
		return nil, Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, Object{}, err
	}
	f, err := os.Open(filepath.Join(b.dir, filepath.FromSlash(key)))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, Object{}, fmt.Errorf("%w: %s", ErrNotFound, key)
	}
	if err != nil {
		return nil, Object{}, fmt.Errorf("telemetry: bucket: %w", err)
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return nil, Object{}, errors.Join(fmt.Errorf("%w: %s", ErrNotFound, key), err, f.Close())
	}
	return f, Object{Key: key, Bytes: info.Size(), Time: info.ModTime()}, nil
}

// osFS is the operating system's file system.
type osFS struct{}

func (osFS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

func (osFS) WriteFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Mkdir(name string) error      { return os.Mkdir(name, 0o755) }

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
