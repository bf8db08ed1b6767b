package brokerpebble_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
	"github.com/thingloom/thingloom/broker/brokertest"
)

// quiet keeps pebble from writing to the standard error stream.
type quiet struct{ t testing.TB }

func (quiet) Infof(string, ...any)             {}
func (quiet) Errorf(string, ...any)            {}
func (q quiet) Fatalf(format string, a ...any) { q.t.Errorf("pebble: "+format, a...) }

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{t}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func open(t testing.TB, db *pebble.DB, prefix string, opts *brokerpebble.Options) *brokerpebble.Store {
	t.Helper()
	s, err := brokerpebble.Open(t.Context(), db, prefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	for name, opts := range map[string]*brokerpebble.Options{"defaults": nil, "eager trims": {TrimEvery: 1, DequeueEvery: 1}} {
		t.Run(name, func(t *testing.T) {
			type home struct {
				fs *vfs.MemFS
				db *pebble.DB
			}
			homes := map[broker.Store]home{}
			start := func(t *testing.T, fs *vfs.MemFS) broker.Store {
				db := openDB(t, fs)
				s := open(t, db, "broker/", opts)
				homes[s] = home{fs, db}
				return s
			}
			brokertest.TestStore(t, func(t *testing.T) broker.Store {
				s := start(t, vfs.NewMem())
				// What stands before and behind the prefix is not the store's.
				for _, k := range []string{"broke", "broker.", "broker0", "zz"} {
					if err := homes[s].db.Set([]byte(k), []byte("foreign"), pebble.NoSync); err != nil {
						t.Fatal(err)
					}
				}
				return s
			}, &brokertest.Options{Reopen: func(t *testing.T, s broker.Store) broker.Store {
				if err := homes[s].db.Close(); err != nil {
					t.Fatal(err)
				}
				return start(t, homes[s].fs)
			}})
		})
	}
}
