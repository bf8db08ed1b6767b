package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A syncs is a file system that counts the syncs of write-ahead logs and what they took.
type syncs struct {
	vfs.FS
	n, nanos atomic.Int64
}

func (s *syncs) reset() {
	s.n.Store(0)
	s.nanos.Store(0)
}

// report tells how many updates shared a sync.
func (s *syncs) report(updates int64) string {
	n := max(s.n.Load(), 1)
	return fmt.Sprintf("%.1f a sync, which took %v on average", float64(updates)/float64(n), time.Duration(s.nanos.Load()/n).Round(time.Microsecond))
}

func (s *syncs) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return s.counted(name, f), err
}

func (s *syncs) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(old, name, c)
	return s.counted(name, f), err
}

func (s *syncs) counted(name string, f vfs.File) vfs.File {
	if f == nil || !strings.HasSuffix(name, ".log") {
		return f
	}
	return &counted{f, s}
}

type counted struct {
	vfs.File
	syncs *syncs
}

func (c *counted) count(began time.Time) {
	c.syncs.n.Add(1)
	c.syncs.nanos.Add(int64(time.Since(began)))
}

func (c *counted) Sync() error {
	defer c.count(time.Now())
	return c.File.Sync()
}

func (c *counted) SyncData() error {
	defer c.count(time.Now())
	return c.File.SyncData()
}
