package shadow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ what, before, after, want string }{
		{"values, sections and order", `{"desired":{"a":1,"b":2},"reported":{"x":1}}`, `{"desired":{"a":3,"c":4}}`,
			"/desired/a 1 3; /desired/c  4; /desired/b 2 ; /reported/x 1 "},
		{"objects member by member, also new ones", `{"desired":{"o":{"a":1,"b":{"c":1}}}}`, `{"desired":{"o":{"a":1,"b":{"c":2}},"n":{"m":{"k":1}}}}`,
			"/desired/o/b/c 1 2; /desired/n/m/k  1"},
		{"an empty object is a value", `{"desired":{"o":{}}}`, `{"desired":{"p":{}}}`, "/desired/p  {}; /desired/o {} "},
		{"another type", `{"desired":{"o":{"a":1}}}`, `{"desired":{"o":[1]}}`, `/desired/o {"a":1} [1]`},
		{"arrays whole, numbers by value", `{"desired":{"a":[1,2],"n":1}}`, `{"desired":{"a":[1,3],"n":1.0}}`, "/desired/a [1,2] [1,3]"},
		{"names in pointers", `{}`, `{"reported":{"a/b":1,"c~d":2,"":3}}`, "/reported/a~1b  1; /reported/c~0d  2; /reported/  3"},
		{"nothing", `{"desired":{"a":1}}`, `{"desired":{"a":1}}`, ""},
	} {
		documents := make([]shadow.Document, 2)
		for i, state := range []string{tt.before, tt.after} {
			d, err := shadow.Merge(shadow.Document{}, []byte(`{"state":`+state+`}`), time.Unix(1, 0))
			if err != nil {
				t.Fatal(err)
			}
			documents[i] = d
		}
		changes, err := shadow.Diff(documents[0], documents[1])
		var got []string
		for _, c := range changes {
			got = append(got, fmt.Sprintf("%s %s %s", c.Path, c.Before, c.After))
			if b, a := documents[0].Field(c.Path), documents[1].Field(c.Path); string(b) != string(c.Before) || string(a) != string(c.After) {
				t.Errorf("%s: the field %s is %s and %s", tt.what, c.Path, b, a)
			}
		}
		if all := strings.Join(got, "; "); all != tt.want || err != nil {
			t.Errorf("%s: got %q, want %q (%v)", tt.what, all, tt.want, err)
		}
	}
	if _, err := shadow.Diff(shadow.Document{Desired: []byte("x")}, shadow.Document{}); !errors.Is(err, shadow.ErrCorrupt) {
		t.Errorf("corrupt: %v", err)
	}
}

type userKey struct{}

func TestWhoChangedWhatWhen(t *testing.T) {
	now := time.Unix(1000, 0)
	svc := open(t, &shadow.Options{Now: func() time.Time { return now }, HistoryAge: time.Hour,
		Principal: func(ctx context.Context) string { s, _ := ctx.Value(userKey{}).(string); return s }})
	ref := shadow.Ref{Thing: "t"}
	write := func(who, patch string) {
		t.Helper()
		now = now.Add(time.Minute)
		ctx := context.WithValue(t.Context(), userKey{}, who)
		var err error
		if patch == "" {
			_, err = svc.Delete(ctx, ref)
		} else {
			_, err = svc.Update(ctx, ref, []byte(patch))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("ann", `{"state":{"desired":{"on":true,"level":1}}}`)
	write("lamp", `{"state":{"reported":{"on":true}}}`)
	write("bob", `{"state":{"desired":{"level":2}}}`)
	write("bob", `{"state":{"desired":{"level":2}}}`)
	write("eve", ``)
	write("ann", `{"state":{"desired":{"on":false}}}`)
	var got []string
	for r, err := range svc.Revisions(t.Context(), ref) {
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprint(r.Version, " ", r.By)
		for _, f := range r.Fields {
			line += fmt.Sprintf(" %s:%s>%s", f.Path, f.Before, f.After)
		}
		got = append(got, line)
	}
	want := []string{
		"6 ann /desired/on:>false",
		"5 eve /desired/on:true> /desired/level:2> /reported/on:true>",
		"4 bob", "3 bob /desired/level:1>2", "2 lamp /reported/on:>true",
		"1 ann /desired/on:>true /desired/level:>1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	start := time.Unix(1000, 0)
	for _, tt := range []struct {
		after   time.Duration
		version int64
		err     error
	}{{0, 0, shadow.ErrNotFound}, {time.Minute, 1, nil}, {90 * time.Second, 1, nil}, {3 * time.Minute, 3, nil}, {5 * time.Minute, 5, nil}, {time.Hour, 6, nil}} {
		d, err := svc.AtTime(t.Context(), ref, start.Add(tt.after))
		if d.Version != tt.version || !errors.Is(err, tt.err) || d.Deleted != (tt.version == 5) {
			t.Errorf("after %v: version %d, %v", tt.after, d.Version, err)
		}
	}
	// An hour after version 3 replaced it, version 2 is not shown any more.
	now = start.Add(3*time.Minute + time.Hour + 1)
	if d, err := svc.At(t.Context(), ref, 3); err != nil || d.Version != 3 {
		t.Errorf("version 3: %+v, %v", d, err)
	}
	if _, err := svc.At(t.Context(), ref, 2); !errors.Is(err, shadow.ErrNoHistory) {
		t.Errorf("version 2: %v", err)
	}
	if _, err := svc.AtTime(t.Context(), ref, start.Add(time.Minute)); !errors.Is(err, shadow.ErrNoHistory) {
		t.Errorf("a time no longer kept: %v", err)
	}
}

// Run forgets on its own what is too old.
func TestRunForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := open(t, &shadow.Options{HistoryAge: 36 * time.Hour, VersionMemory: 2 * time.Hour})
		ref, gone := shadow.Ref{Thing: "t"}, shadow.Ref{Thing: "gone"}
		for range 5 {
			update(t, svc, ref, `{"state":{}}`)
		}
		update(t, svc, gone, `{"state":{}}`)
		if _, err := svc.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- svc.Run(ctx) }()
		time.Sleep(24*time.Hour + time.Minute)
		synctest.Wait()
		if s := svc.Stats(); s.Purged != 1 || s.Trimmed != 0 {
			t.Errorf("after a day: %+v", s)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if s := svc.Stats(); s.Trimmed != 4 {
			t.Errorf("after two days: %+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
