package registrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/thingloom/thingloom/registry"
)

// Cases returns the rules, for those who run them in their own way.
func Cases() []Case {
	return []Case{
		{"absent", "Get of a key that is not there is ErrNotFound, and a scan of an empty store yields nothing.", absent},
		{"put and get", "What was put is what is got, with a version greater than 0.", putAndGet},
		{"odd keys", "Keys are non-empty strings of any bytes.", oddKeys},
		{"order", "Scan yields the keys with the prefix that are greater than after, in bytewise order.", order},
		{"long scan", "A scan yields every entry once, however many there are.", longScan},
		{"scan while writing", "The loop body of a scan may use the store.", scanWhileWriting},
		{"condition absent", "Prev 0 needs the key to be absent.", conditionAbsent},
		{"condition version", "Prev needs the stored version to be that.", conditionVersion},
		{"condition present", "Present needs the key to be there, at any version.", conditionPresent},
		{"condition on delete", "Conditions hold for deletes as for puts; a delete of an absent key is fine.", conditionDelete},
		{"check", "A Check writes nothing and fails the call when its condition does not hold.", check},
		{"check empty", "CheckEmpty fails the call when a key begins with the prefix.", checkEmpty},
		{"all or none", "When one condition does not hold nothing is written.", allOrNone},
		{"state before", "Conditions are checked against the state before the call.", stateBefore},
		{"one version", "Entries written by one call have the same version.", oneVersion},
		{"versions grow", "A version never comes back, not even when the key is deleted and made anew.", versionsGrow},
		{"no shared memory", "What goes in and what comes out shares no memory with the store.", noSharedMemory},
		{"cancelled", "A context that is done fails every method and writes nothing.", cancelled},
		{"contention", "Of conditional writes to one version exactly one succeeds.", contention},
		{"whole entries", "A reader sees an entry as one Apply left it.", wholeEntries},
	}
}

func conflict(err error) error {
	if errors.Is(err, registry.ErrVersionConflict) {
		return nil
	}
	return fmt.Errorf("got error %v, want ErrVersionConflict", err)
}

func value(ctx context.Context, s registry.Store, key, want string) error {
	e, err := s.Get(ctx, key)
	if err == nil && (string(e.Value) != want || e.Key != key || e.Version <= 0) {
		err = fmt.Errorf("got %q = %q version %d, want value %q", e.Key, e.Value, e.Version, want)
	}
	return err
}

func gone(ctx context.Context, s registry.Store, key string) error {
	if _, err := s.Get(ctx, key); !errors.Is(err, registry.ErrNotFound) {
		return fmt.Errorf("get %q: got error %v, want ErrNotFound", key, err)
	}
	return nil
}

// run does the steps in order and stops at the first error.
func run(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func absent(ctx context.Context, s registry.Store) error {
	return errors.Join(gone(ctx, s, "a"), wantKeys(ctx, s, "", ""))
}

func putAndGet(ctx context.Context, s registry.Store) error {
	return run(
		func() error { return s.Apply(ctx, put("a", "1"), put("b", "")) },
		func() error { return value(ctx, s, "a", "1") },
		func() error { return value(ctx, s, "b", "") },
		func() error { return s.Apply(ctx, put("a", "2"), del("b")) },
		func() error { return value(ctx, s, "a", "2") },
		func() error { return gone(ctx, s, "b") })
}

func oddKeys(ctx context.Context, s registry.Store) error {
	odd := []string{"\x00", "\x00\xff", "+", "/", "//", "a\x00", "a\x00b", strings.Repeat("ü", 128), "\xff", "\xff\xff"}
	for _, k := range odd {
		if err := s.Apply(ctx, put(k, k)); err != nil {
			return err
		}
	}
	slices.Sort(odd)
	for _, k := range odd {
		if err := value(ctx, s, k, k); err != nil {
			return err
		}
	}
	return errors.Join(wantKeys(ctx, s, "", "", odd...), wantKeys(ctx, s, "\xff", "", "\xff", "\xff\xff"),
		wantKeys(ctx, s, "a\x00", "a\x00", "a\x00b"))
}

func order(ctx context.Context, s registry.Store) error {
	err := s.Apply(ctx, put("b/2", ""), put("b/10", ""), put("b", ""), put("a/1", ""), put("c/1", ""), put("b/1", ""))
	return errors.Join(err,
		wantKeys(ctx, s, "", "", "a/1", "b", "b/1", "b/10", "b/2", "c/1"),
		wantKeys(ctx, s, "b/", "", "b/1", "b/10", "b/2"),
		wantKeys(ctx, s, "b/", "b/1", "b/10", "b/2"),
		wantKeys(ctx, s, "b/", "b/1x", "b/2"),
		wantKeys(ctx, s, "b/", "a", "b/1", "b/10", "b/2"),
		wantKeys(ctx, s, "b/", "b/2"),
		wantKeys(ctx, s, "b/", "c"),
		wantKeys(ctx, s, "b", "b", "b/1", "b/10", "b/2"))
}

func longScan(ctx context.Context, s registry.Store) error {
	var want []string
	for i := range 3000 {
		k := fmt.Sprintf("k/%05d", (i*7919)%3000)
		want = append(want, k)
		if err := s.Apply(ctx, put(k, k)); err != nil {
			return err
		}
	}
	slices.Sort(want)
	return errors.Join(wantKeys(ctx, s, "k/", "", want...), wantKeys(ctx, s, "k/", want[1499], want[1500:]...))
}

func scanWhileWriting(ctx context.Context, s registry.Store) error {
	if err := s.Apply(ctx, put("a", ""), put("b", ""), put("c", "")); err != nil {
		return err
	}
	for e, err := range s.Scan(ctx, "", "") {
		if err != nil {
			return err
		}
		if err := s.Apply(ctx, del(e.Key)); err != nil {
			return err
		}
	}
	return wantKeys(ctx, s, "", "")
}

func conditionAbsent(ctx context.Context, s registry.Store) error {
	op := put("a", "1")
	op.Prev = 0
	return run(
		func() error { return s.Apply(ctx, op) },
		func() error { return conflict(s.Apply(ctx, op)) },
		func() error { return s.Apply(ctx, del("a")) },
		func() error { return s.Apply(ctx, op) })
}

func conditionVersion(ctx context.Context, s registry.Store) error {
	if err := s.Apply(ctx, put("a", "1")); err != nil {
		return err
	}
	e, err := s.Get(ctx, "a")
	if err != nil {
		return err
	}
	next, missing := put("a", "2"), put("b", "2")
	next.Prev, missing.Prev = e.Version, e.Version
	return run(
		func() error { return conflict(s.Apply(ctx, missing)) },
		func() error { return s.Apply(ctx, next) },
		func() error { return conflict(s.Apply(ctx, next)) },
		func() error { return value(ctx, s, "a", "2") })
}

func conditionPresent(ctx context.Context, s registry.Store) error {
	op := put("a", "2")
	op.Prev = registry.Present
	return run(
		func() error { return conflict(s.Apply(ctx, op)) },
		func() error { return s.Apply(ctx, put("a", "1")) },
		func() error { return s.Apply(ctx, op) },
		func() error { return s.Apply(ctx, op) },
		func() error { return value(ctx, s, "a", "2") })
}

func conditionDelete(ctx context.Context, s registry.Store) error {
	op := del("a")
	op.Prev = registry.Present
	return run(
		func() error { return s.Apply(ctx, del("a")) },
		func() error { return conflict(s.Apply(ctx, op)) },
		func() error { return s.Apply(ctx, put("a", "1")) },
		func() error { op.Prev = 0; return conflict(s.Apply(ctx, op)) },
		func() error { return value(ctx, s, "a", "1") })
}

func check(ctx context.Context, s registry.Store) error {
	op := registry.Op{Kind: registry.Check, Key: "a", Prev: registry.Present, Value: []byte("no")}
	return run(
		func() error { return conflict(s.Apply(ctx, op, put("b", "1"))) },
		func() error { return gone(ctx, s, "b") },
		func() error { return s.Apply(ctx, put("a", "1")) },
		func() error { return s.Apply(ctx, op, put("b", "1")) },
		func() error { return value(ctx, s, "a", "1") })
}

func checkEmpty(ctx context.Context, s registry.Store) error {
	op := registry.Op{Kind: registry.CheckEmpty, Key: "a/"}
	return run(
		func() error { return s.Apply(ctx, put("a", ""), put("a0", "")) },
		func() error { return s.Apply(ctx, op, put("b", "1")) },
		func() error { return s.Apply(ctx, put("a/x", "")) },
		func() error { return conflict(s.Apply(ctx, op, put("c", "1"))) },
		func() error { return gone(ctx, s, "c") })
}

func allOrNone(ctx context.Context, s registry.Store) error {
	bad := put("c", "1")
	bad.Prev = registry.Present
	return run(
		func() error { return s.Apply(ctx, put("a", "1")) },
		func() error { return conflict(s.Apply(ctx, put("a", "2"), put("b", "1"), bad)) },
		func() error { return conflict(s.Apply(ctx, bad, del("a"))) },
		func() error { return value(ctx, s, "a", "1") },
		func() error { return gone(ctx, s, "b") })
}

func stateBefore(ctx context.Context, s registry.Store) error {
	empty := registry.Op{Kind: registry.CheckEmpty, Key: "a"}
	absent := registry.Op{Kind: registry.Check, Key: "a", Prev: 0}
	return errors.Join(s.Apply(ctx, put("a", "1"), empty, absent), value(ctx, s, "a", "1"))
}

func oneVersion(ctx context.Context, s registry.Store) error {
	if err := s.Apply(ctx, put("a", ""), put("b", "")); err != nil {
		return err
	}
	a, err := s.Get(ctx, "a")
	if err != nil {
		return err
	}
	b, err := s.Get(ctx, "b")
	if err == nil && a.Version != b.Version {
		err = fmt.Errorf("versions %d and %d", a.Version, b.Version)
	}
	return err
}

func versionsGrow(ctx context.Context, s registry.Store) error {
	var last int64
	for i := range 4 {
		if err := s.Apply(ctx, put("a", "")); err != nil {
			return err
		}
		e, err := s.Get(ctx, "a")
		if err != nil {
			return err
		}
		if e.Version <= last {
			return fmt.Errorf("version %d after %d", e.Version, last)
		}
		last = e.Version
		if i%2 == 0 {
			if err := s.Apply(ctx, del("a")); err != nil {
				return err
			}
		}
	}
	return nil
}

func noSharedMemory(ctx context.Context, s registry.Store) error {
	in := []byte("1")
	if err := s.Apply(ctx, registry.Op{Key: "a", Value: in, Prev: registry.Any}); err != nil {
		return err
	}
	in[0] = 'x'
	e, err := s.Get(ctx, "a")
	if err != nil || string(e.Value) != "1" {
		return fmt.Errorf("the caller changed what it had put: %q, %v", e.Value, err)
	}
	e.Value[0] = 'y'
	for e, err := range s.Scan(ctx, "", "") {
		if err != nil || string(e.Value) != "1" {
			return fmt.Errorf("the caller changed what it had got: %q, %v", e.Value, err)
		}
		e.Value[0] = 'z'
	}
	if err := value(ctx, s, "a", "1"); err != nil {
		return fmt.Errorf("the caller changed what a scan gave: %w", err)
	}
	return nil
}

func cancelled(ctx context.Context, s registry.Store) error {
	if err := s.Apply(ctx, put("a", "")); err != nil {
		return err
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, get := s.Get(done, "a")
	_, scan := keys(done, s, "", "")
	for what, err := range map[string]error{"Get": get, "Scan": scan, "Apply": s.Apply(done, put("b", ""))} {
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: got error %v, want context.Canceled", what, err)
		}
	}
	return gone(ctx, s, "b")
}

func contention(ctx context.Context, s registry.Store) error {
	const workers, rounds = 8, 25
	if err := s.Apply(ctx, put("n", "0")); err != nil {
		return err
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for done := 0; done < rounds; {
				e, err := s.Get(ctx, "n")
				if err != nil {
					errs[w] = err
					return
				}
				var n int
				fmt.Sscan(string(e.Value), &n)
				op := put("n", fmt.Sprint(n+1))
				op.Prev = e.Version
				switch err := s.Apply(ctx, op); {
				case err == nil:
					done++
				case !errors.Is(err, registry.ErrVersionConflict):
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), value(ctx, s, "n", fmt.Sprint(workers*rounds)))
}

func wholeEntries(ctx context.Context, s registry.Store) error {
	var wg sync.WaitGroup
	var writer error
	written := make(chan struct{})
	wg.Go(func() {
		defer close(written)
		for i := range 100 {
			text := strings.Repeat(string(rune('a'+i%26)), 100)
			if writer = s.Apply(ctx, put("a", text), put("b", text)); writer != nil {
				return
			}
		}
	})
	var reader error
	for last := false; !last && reader == nil; {
		select {
		case <-written:
			last = true
		default:
		}
		for e, err := range s.Scan(ctx, "", "") {
			if err != nil {
				reader = err
			} else if len(e.Value) != 100 || strings.Trim(string(e.Value), string(e.Value[:1])) != "" {
				reader = fmt.Errorf("torn value %q", e.Value)
			}
		}
	}
	wg.Wait()
	return errors.Join(writer, reader)
}
