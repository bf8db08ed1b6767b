package telemetrypebble_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetrypebble"
)

// A machine is a memory file system that loses power before its nth step: a
// write of a checkpoint, an append, or one operation of the bucket. What
// comes after fails, as for a process that is gone.
type machine struct {
	fs      *vfs.MemFS
	percent int // of unsynced data that survives
	rng     *rand.Rand

	mu      sync.Mutex
	steps   int // until the power fails; below 0 never
	clone   *vfs.MemFS
	visible map[string]string // every file that a reader could have seen
	changed string            // the first file that was seen to change
}

var errPower = errors.New("power is off")

func (m *machine) step() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clone != nil {
		return errPower
	}
	if m.steps == 0 {
		m.clone = m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.percent, RNG: m.rng})
		return errPower
	}
	m.steps--
	return nil
}

func (m *machine) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clone != nil
}

// saw remembers what a file held when it became visible for good.
func (m *machine) saw(name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.visible[name]; ok && old != content && m.changed == "" {
		m.changed = name
	}
	m.visible[name] = content
}

// bucketFS is the machine's file system as a bucket uses it.
type bucketFS struct{ m *machine }

func (b bucketFS) ReadFile(name string) ([]byte, error) {
	f, err := b.m.fs.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

func (b bucketFS) WriteFile(name string, data []byte) error {
	if err := b.m.step(); err != nil {
		return err
	}
	f, err := b.m.fs.Create(name, "test")
	if err != nil {
		return err
	}
	for half := range slices.Chunk(data, len(data)/2+1) {
		if _, err := f.Write(half); err != nil {
			return err
		}
		if err := b.m.step(); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func (b bucketFS) Rename(from, to string) error {
	if err := b.m.step(); err != nil {
		return err
	}
	body, err := b.ReadFile(from)
	if err != nil {
		return err
	}
	b.m.saw(to, string(body))
	return b.m.fs.Rename(from, to)
}

func (b bucketFS) Mkdir(name string) error {
	if err := b.m.step(); err != nil {
		return err
	}
	if _, err := b.m.fs.Stat(name); err == nil {
		return fs.ErrExist
	}
	if _, err := b.m.fs.Stat(filepath.Dir(name)); err != nil {
		return fs.ErrNotExist
	}
	return b.m.fs.MkdirAll(name, 0o755)
}

func (b bucketFS) SyncDir(name string) error {
	if err := b.m.step(); err != nil {
		return err
	}
	d, err := b.m.fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// powered is a store whose writes stop with the machine.
type powered struct {
	*telemetrypebble.Store
	m *machine
}

func (p powered) Append(ctx context.Context, partition int, recs []telemetry.Record) (int64, error) {
	if err := p.m.step(); err != nil {
		return 0, err
	}
	first, err := p.Store.Append(ctx, partition, recs)
	if p.m.dead() {
		return 0, errPower // nobody is there to hear of it
	}
	return first, err
}

func (p powered) SaveCheckpoint(ctx context.Context, consumer string, partition int, c telemetry.Checkpoint) error {
	if err := p.m.step(); err != nil {
		return err
	}
	return p.Store.SaveCheckpoint(ctx, consumer, partition, c)
}

// world is what outlives the crashes of one test.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *vfs.MemFS
	visible map[string]string
	acked   map[string]bool
	next    int
}

const windowSQL = `SELECT key, count(*) AS n, sum(i) AS s FROM stream GROUP BY key, TUMBLE(INTERVAL '10' SECOND)`

// live runs stream and consumers until the power fails after the given steps,
// or, with steps below 0, until all is consumed. It reports whether it failed.
func (w *world) live(steps int, records int) bool {
	time.Sleep(time.Duration(w.rng.IntN(180)) * time.Second) // the time without power
	m := &machine{fs: w.fs, steps: steps, percent: w.rng.IntN(101), rng: w.rng, visible: w.visible}
	db := openDB(w.t, m.fs)
	store := powered{open(w.t, db, "t/", &telemetrypebble.Options{Partitions: 2}), m}
	s, err := telemetry.NewStream(store, store, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	bucket := func(prefix string) telemetry.Sink {
		b, err := telemetry.NewDirBucket("/bucket", &telemetry.DirOptions{FS: bucketFS{m}})
		if err != nil {
			w.t.Fatal(err)
		}
		f, err := telemetry.Files(b, &telemetry.FilesOptions{Prefix: prefix, Key: "{hh}/{min}/{id}.jsonl", MaxRecords: 7, MaxWait: 2500 * time.Millisecond})
		if err != nil {
			w.t.Fatal(err)
		}
		return f
	}
	q, err := telemetry.Compile(windowSQL)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	run := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && !m.dead() {
				w.t.Errorf("with the power on: %v", err)
			}
		})
	}
	run(func() error { return s.Run(ctx) })
	run(func() error { return s.Consume(ctx, "archive", bucket("archive/")) })
	run(func() error {
		return s.Consume(ctx, "minute", telemetry.Aggregate(q, bucket("windows/"), &telemetry.WindowOptions{
			Lateness: time.Second, IdleAfter: time.Second}))
	})
	for range records {
		time.Sleep(time.Second) // of the bubble, as all time here
		id := w.next
		w.next++
		v := fmt.Sprintf(`{"i":%d}`, id)
		if err := s.Put(ctx, fmt.Sprint("k", id%3), time.Now(), []byte(v)); err != nil {
			break
		}
		w.acked[v] = true
	}
	// Until all is delivered and silence has closed the windows, or until the
	// power fails on the way there.
	for range 60 {
		if !m.dead() {
			time.Sleep(time.Second)
		}
	}
	if st := s.Stats(); steps < 0 {
		for _, c := range st.Consumers {
			if c.Lag != 0 || c.Retries != 0 {
				w.t.Fatalf("consumer is not done: %+v", c)
			}
		}
	}
	cancel()
	wg.Wait()
	if err := db.Close(); err != nil {
		w.t.Fatal(err)
	}
	if m.changed != "" {
		w.t.Fatalf("%s was visible and changed", m.changed)
	}
	if m.clone != nil {
		w.fs = m.clone
		return true
	}
	return false
}

// files returns the content of the bucket below prefix, name by name.
func (w *world) files(prefix string) map[string][]byte {
	out := map[string][]byte{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := w.fs.List(dir)
		if err != nil {
			return
		}
		for _, n := range names {
			full := dir + "/" + n
			if info, err := w.fs.Stat(full); err == nil && info.IsDir() {
				walk(full)
			} else if !strings.HasPrefix(n, ".") {
				body, err := (bucketFS{&machine{fs: w.fs}}).ReadFile(full)
				if err != nil {
					w.t.Fatal(err)
				}
				out[full] = body
			}
		}
	}
	walk("/bucket/" + prefix)
	return out
}

// check compares the union of all files with what was put.
func (w *world) check(name string) {
	w.t.Helper()
	count := map[string]int{}
	for _, body := range w.files("archive") {
		for line := range bytes.Lines(body) {
			count[strings.TrimSpace(string(line))]++
		}
	}
	for v := range w.acked {
		if count[v] != 1 {
			w.t.Fatalf("%s: acknowledged %s is in the files %d times", name, v, count[v])
		}
	}
	var records, sum int
	for v, n := range count {
		var r struct{ I int }
		if err := json.Unmarshal([]byte(v), &r); err != nil || n != 1 {
			w.t.Fatalf("%s: line %s, %d times: %v", name, v, n, err)
		}
		records++
		sum += r.I
	}
	// Windows: each once, and together they hold every record of the stream.
	seen := map[string]bool{}
	for file, body := range w.files("windows") {
		for line := range bytes.Lines(body) {
			var r struct {
				Key   string
				N, S  int
				Start int64 `json:"window_start"`
			}
			if err := json.Unmarshal(line, &r); err != nil {
				w.t.Fatal(err)
			}
			id := fmt.Sprint(r.Key, r.Start)
			if seen[id] {
				w.t.Fatalf("%s: window %s is in two files, one is %s", name, id, file)
			}
			seen[id] = true
			records -= r.N
			sum -= r.S
		}
	}
	if records != 0 || sum != 0 {
		w.t.Fatalf("%s: windows miss %d records, sum %d", name, records, sum)
	}
	// A file that was visible once is there, as it was, unless the power
	// failed before its name was durable; then its records are elsewhere.
	for file, body := range w.files("") {
		if was, ok := w.visible[file]; ok && was != string(body) {
			w.t.Fatalf("%s: %s has changed", name, file)
		}
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), fs: vfs.NewCrashableMem(), visible: map[string]string{},
		acked: map[string]bool{}}
}

// The power fails before every single step in turn; after the restart the
// files hold every acknowledged record exactly once, windows included.
func TestExactlyOnceAtEveryStep(t *testing.T) {
	for steps := 0; ; steps++ {
		var failed bool
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, uint64(steps))
			failed = w.live(steps, 30)
			w.live(-1, 12)
			w.check(fmt.Sprintf("power cut at step %d", steps))
		})
		if !failed {
			t.Logf("all was done after %d steps", steps)
			if steps < 100 {
				t.Errorf("that is too few to have tried every kind of step")
			}
			return
		}
	}
}

// The power fails again and again, also while the last failure is repaired.
func TestExactlyOnceOverManyCrashes(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range 12 {
				w.live(w.rng.IntN(40), w.rng.IntN(30))
			}
			w.live(-1, 5)
			w.check(fmt.Sprintf("seed %d", seed))
		})
	}
}
