package model

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

// A server is one process of the broker with its database.
type server struct {
	b      *broker.Broker
	db     *pebble.DB
	fs     *vfs.MemFS
	served sync.WaitGroup
	stop   context.CancelFunc
	ctx    context.Context

	dead  atomic.Bool  // from here on nothing that it says counts
	fuse  atomic.Int64 // writes until the power goes; negative is never
	torn  int          // percent of what was not synced that is kept nevertheless
	rng   *rand.Rand   // of cut
	once  sync.Once
	image *vfs.MemFS // what the disk has after the power went
}

// boot starts a server on what the disk has.
func boot(fs *vfs.MemFS) (*server, error) {
	s := &server{fs: fs}
	s.fuse.Store(-1)
	watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && s.fuse.Load() > 0 && s.fuse.Add(-1) == 0 {
			s.cut()
		}
		return nil
	}))
	var err error
	// The newest format: the writer of the older one keeps channels in a pool, which bubbles must not share.
	o := &pebble.Options{FS: watched, MemTableSize: 64 << 10, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}, DisableTableStats: true}
	// The usual one looks for work ten times a second, which is most of what happens while virtual time goes by.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	s.db, err = pebble.Open("db", o)
	if err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	store, err := brokerpebble.Open(s.ctx, s.db, "b/", &brokerpebble.Options{TrimEvery: 5, DequeueEvery: 3})
	if err != nil {
		return nil, err
	}
	s.b, err = broker.New(store, &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{},
		ReceiveMaximum: window, MaxInflight: 5, MaxPendingBytes: 2000, SessionExpiry: sessionExpiry, MaxSessionExpiry: sessionExpiry})
	if err != nil {
		return nil, err
	}
	s.served.Go(func() { _ = s.b.Run(s.ctx) })
	return s, nil
}

// cut cuts the power. It may be called from within a write of the database.
func (s *server) cut() {
	s.once.Do(func() {
		s.dead.Store(true) // before the image: what is said after it must not be heard
		s.image = s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: s.torn, RNG: s.rng})
	})
}

// halt ends what is left of the process and returns the disk.
func (s *server) halt() (*vfs.MemFS, error) {
	s.stop()
	s.served.Wait()
	err := s.db.Close()
	if s.dead.Load() {
		return s.image, nil
	}
	return s.fs, err
}

// dial connects to the broker.
func (s *server) dial() net.Conn {
	ours, theirs := net.Pipe()
	s.served.Go(func() { _ = s.b.ServeConn(s.ctx, mortal{theirs, &s.dead}) })
	return ours
}

// mortal says nothing once the power is cut.
type mortal struct {
	net.Conn
	dead *atomic.Bool
}

func (m mortal) Write(b []byte) (int, error) {
	if m.dead.Load() {
		return 0, net.ErrClosed
	}
	return m.Conn.Write(b)
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
