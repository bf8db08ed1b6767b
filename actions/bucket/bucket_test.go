package bucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/bucket"
)

var errFull = errors.New("disk full")

type objects struct {
	mu  sync.Mutex
	all map[string]string
	n   int
	err error
}

func (o *objects) Put(_ context.Context, key string, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[string]string{}
	}
	o.all[key] = string(body)
	o.n++
	return o.err
}

func (o *objects) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

const role = `,"roleArn":"arn:x"}`

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		o := new(objects)
		return actionstest.Plugin{
			Spec: bucket.Spec(o, nil), Params: json.RawMessage(`{"bucketName":"readings","key":"${topic()}/${n}"` + role),
			Invalid: []json.RawMessage{json.RawMessage(`{"bucketName":"readings","key":"k"}`), json.RawMessage(`{"bucketName":"../up","key":"k"` + role),
				json.RawMessage(`{"bucketName":"readings","key":""` + role), json.RawMessage(`{"bucketName":"readings","key":"k","cannedAcl":"everybody"` + role)},
			Delivered: o.count,
		}
	})
}

func TestPut(t *testing.T) {
	o := new(objects)
	s := bucket.Spec(o, &bucket.Options{Refused: func(err error) bool { return errors.Is(err, fs.ErrInvalid) }})
	if s.Workers != 1 {
		t.Errorf("%d workers: later objects may be overwritten by earlier ones", s.Workers)
	}
	a, err := s.Open(t.Context(), json.RawMessage(`{"bucketName":"${b}","key":"${topic()}/${k}","cannedAcl":"public-read"`+role))
	if err != nil {
		t.Fatal(err)
	}
	do := func(source, payload string) error {
		return a.Do(t.Context(), &actions.Request{Topic: "s/1", Source: []byte(source), Payload: []byte(payload)})
	}
	for _, step := range [][2]string{
		{`{"b":"my.bucket-1","k":"2026-01-02T03:04:05"}`, "\xff raw"},
		{`{"b":"my.bucket-1","k":"x"}`, "old"},
		{`{"b":"my.bucket-1","k":"x"}`, "new"},
		{`{"b":"abc","k":"../../../etc/passwd"}`, "traversal"},
		{`{"b":"abc"}`, "no key: an empty element"},
	} {
		if err := do(step[0], step[1]); err != nil {
			t.Errorf("%s: %v", step[0], err)
		}
	}
	want := map[string]string{
		"s3/my.bucket-1/s/1/2026-01-02T03%3A04%3A05": "\xff raw",
		"s3/my.bucket-1/s/1/x":                       "new",
		"s3/abc/s/1/%2E./%2E./%2E./etc/passwd":       "traversal",
		"s3/abc/s/1/%":                               "no key: an empty element",
	}
	if !maps.Equal(o.all, want) {
		t.Errorf("got  %q\nwant %q", o.all, want)
	}
	for source, want := range map[string]string{
		`{"b":"..","k":"x"}`: "no name of a bucket", `{"b":"a/b","k":"x"}`: "no name of a bucket", `{"k":"x"}`: "no name of a bucket",
		`{"b":"abc","k":"` + strings.Repeat("x", 1024) + `"}`: "a key of 1028 bytes",
	} {
		if err := do(source, "x"); !actions.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", source, err)
		}
	}
	for _, e := range []error{errFull, fs.ErrInvalid} {
		o.err = e
		err := do(`{"b":"abc","k":"x"}`, "x")
		var about interface{ Resource() string }
		if !errors.Is(err, e) || actions.IsPermanent(err) != (e == fs.ErrInvalid) || !errors.As(err, &about) || about.Resource() != "abc" {
			t.Errorf("%v: %v", e, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "a-b.c1": true, strings.Repeat("a", 63): true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "a..b": false, ".abc": false, "abc-": false, "Abc": false, "a_c": false, "a/b": false, "a\x00b": false, "äbc": false,
	} {
		if err := bucket.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Every key has a path of its own that stays below its bucket, and the path gives the key back.
func FuzzEscape(f *testing.F) {
	for _, key := range []string{"a", "a/b", "../a", "a/../..", "/a", "a//b/", ".", "...", "%", "%2E", "a:b\\c", "\xff", "\x00", "é/ü", "%/%25", "s 1/+"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		path := bucket.Escape(key)
		if !fs.ValidPath(path) || path == "." || strings.HasPrefix(path, ".") || strings.Contains(path, "/.") || strings.ContainsAny(path, "\x00\\:") {
			t.Errorf("%q became %q", key, path)
		}
		if back, err := bucket.Unescape(path); err != nil || back != key {
			t.Errorf("%q became %q and that %q, %v", key, path, back, err)
		}
		if back, err := bucket.Unescape(key); err == nil && bucket.Escape(back) != key {
			t.Errorf("%q was taken for the path of %q", key, back)
		}
	})
}
