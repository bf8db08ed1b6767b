package telemetry_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

var march = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

func batchOf(id string, values ...string) telemetry.Batch {
	b := telemetry.Batch{ID: id, Partition: 2, Time: march}
	for i, v := range values {
		b.Records = append(b.Records, telemetry.Record{Key: `k"1`, Time: march, Value: []byte(v), Partition: 2, Offset: int64(i)})
	}
	return b
}

func list(t *testing.T, b *telemetry.DirBucket, prefix, after string) (keys []string) {
	t.Helper()
	for o, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func content(t *testing.T, b *telemetry.DirBucket, key string) []byte {
	t.Helper()
	f, o, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	body, err := io.ReadAll(f)
	if err != nil || int64(len(body)) != o.Bytes {
		t.Fatalf("%d of %d bytes, %v", len(body), o.Bytes, err)
	}
	return body
}

func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name, key, want string
		opts            telemetry.FilesOptions
	}{
		{"by default a file per hour's folder", "2026/03/01/12/b1.jsonl", "{\"a\":1}\n{\"b\":[1,2]}\n", telemetry.FilesOptions{}},
		{"by template", "x/2026-30-2/b1", "{\"a\":1}\n{\"b\":[1,2]}\n", telemetry.FilesOptions{Prefix: "x/", Key: "{yyyy}-{min}-{partition}/{id}"}},
		{"with what came along", "2026/03/01/12/b1.jsonl",
			`{"key":"k\"1","time":"2026-03-01T12:30:00Z","partition":2,"offset":0,"value":{"a":1}}` + "\n" +
				`{"key":"k\"1","time":"2026-03-01T12:30:00Z","partition":2,"offset":1,"value":{"b":[1,2]}}` + "\n",
			telemetry.FilesOptions{Envelope: true}},
		{"with nothing between", "2026/03/01/12/b1", "{\"a\":1}{\"b\":\n [1,\r\n 2]}", telemetry.FilesOptions{Concatenate: true}},
		{"compressed", "2026/03/01/12/b1.jsonl.gz", "{\"a\":1}\n{\"b\":[1,2]}\n", telemetry.FilesOptions{Gzip: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bucket, err := telemetry.NewDirBucket(filepath.Join(t.TempDir(), "made", "here"), nil)
			if err != nil {
				t.Fatal(err)
			}
			sink, err := telemetry.Files(bucket, &c.opts)
			if err != nil {
				t.Fatal(err)
			}
			b := batchOf("b1", `{"a":1}`, "{\"b\":\n [1,\r\n 2]}")
			for range 2 { // a repetition changes nothing
				if err := sink.Write(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if keys := list(t, bucket, "", ""); len(keys) != 1 || keys[0] != c.key {
					t.Fatalf("keys are %q", keys)
				}
				body := content(t, bucket, c.key)
				if c.opts.Gzip {
					z, err := gzip.NewReader(bytes.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					if body, err = io.ReadAll(z); err != nil {
						t.Fatal(err)
					}
				}
				if string(body) != c.want {
					t.Errorf("file is\n%s", body)
				}
			}
			if err := sink.Write(t.Context(), batchOf("empty")); err != nil || len(list(t, bucket, "", "")) != 1 {
				t.Errorf("an empty batch: %v", err)
			}
			if st := sink.Stats(); st.Files != 2 || st.Records != 4 {
				t.Errorf("stats are %+v", st)
			}
		})
	}
}

// Values of a stream of any bytes.
func TestFilesOfBytes(t *testing.T) {
	const line = "\n"
	for _, c := range []struct {
		name, want string
		opts       telemetry.FilesOptions
	}{
		{"lines", "plain" + line + `"a\nb"` + line + "\xff\x00" + line + line, telemetry.FilesOptions{Key: "{id}"}},
		{"as they are", "plaina\nb\xff\x00", telemetry.FilesOptions{Key: "{id}", Concatenate: true}},
	} {
		bucket, err := telemetry.NewDirBucket(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		sink, err := telemetry.Files(bucket, &c.opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Write(t.Context(), batchOf("b1", "plain", "a\nb", "\xff\x00", "")); err != nil {
			t.Fatal(err)
		}
		if body := content(t, bucket, "b1"); string(body) != c.want {
			t.Errorf("%s: file is %q, want %q", c.name, body, c.want)
		}
	}
	bucket, err := telemetry.NewDirBucket(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := telemetry.Files(bucket, &telemetry.FilesOptions{Key: "{id}", Envelope: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Write(t.Context(), batchOf("b1", "a\nb")); err != nil {
		t.Fatal(err)
	}
	if body := string(content(t, bucket, "b1")); !strings.HasSuffix(body, `,"base64":"YQpi"}`+line) {
		t.Errorf("file is %q", body)
	}
	if _, err := telemetry.Files(bucket, &telemetry.FilesOptions{Envelope: true, Concatenate: true}); err == nil {
		t.Error("Envelope with Concatenate was taken")
	}
}

// A key has the last body put, whole, also where several are put at a time.
func TestDirBucketOverwrites(t *testing.T) {
	b, err := telemetry.NewDirBucket(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				if err := b.Put(t.Context(), "a/b", bytes.Repeat([]byte{byte('a' + i)}, 1000*(n%3+1))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if body := content(t, b, "a/b"); len(body)%1000 != 0 || len(bytes.Trim(body, string(body[:1]))) != 0 {
		t.Errorf("a mixture of bodies: %d bytes, %.40q", len(body), body)
	}
	if err := b.Put(t.Context(), "a/b", []byte("last")); err != nil || string(content(t, b, "a/b")) != "last" {
		t.Errorf("%v", err)
	}
	for _, key := range []string{"a", "a/b/c", "a/b/c/d", strings.Repeat("x", 300), strings.Repeat("x", 300) + "/y"} {
		if err := b.Put(t.Context(), key, []byte("x")); !errors.Is(err, telemetry.ErrInvalidName) {
			t.Errorf("%.40s: %v", key, err)
		}
	}
	if keys := list(t, b, "", ""); !slices.Equal(keys, []string{"a/b"}) {
		t.Errorf("keys are %q", keys)
	}
}

func TestFilesRefuseTemplates(t *testing.T) {
	for tmpl, reason := range map[string]string{
		"{yyyy}/x": "no {id}", "{id": "not closed", "{id}{day}": "{day}", "../{id}": "..", "/{id}": "relative", "a/.{id}": "dot",
	} {
		if _, err := telemetry.Files(nil, &telemetry.FilesOptions{Key: tmpl}); !errors.Is(err, telemetry.ErrInvalidName) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", tmpl, err)
		}
	}
}

func TestDirBucketKeys(t *testing.T) {
	b, err := telemetry.NewDirBucket(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", ".", "/a", "../a", "a/../../b", "a//b", ".a", "a/.b", "a\\b", "c:b", "a\x00"} {
		if err := b.Put(t.Context(), key, nil); !errors.Is(err, telemetry.ErrInvalidName) {
			t.Errorf("Put %q: %v", key, err)
		}
		if _, _, err := b.Open(t.Context(), key); !errors.Is(err, telemetry.ErrInvalidName) {
			t.Errorf("Open %q: %v", key, err)
		}
	}
	keys := []string{"a.b", "a/b", "a/c/d", "a0", "b"}
	for _, key := range keys {
		if err := b.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "c", "b/x"} {
		if _, _, err := b.Open(t.Context(), key); !errors.Is(err, telemetry.ErrNotFound) {
			t.Errorf("Open %q: %v", key, err)
		}
	}
	for _, prefix := range []string{"", "a", "a/", "a/c", "a/c/d", "x"} {
		for _, after := range []string{"", "a", "a.b", "a/b", "a/c", "a/c/d", "a/z", "b"} {
			var want []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			if got := list(t, b, prefix, after); !slices.Equal(got, want) {
				t.Errorf("List(%q, %q) is %q, want %q", prefix, after, got, want)
			}
		}
	}
}

// An object that exists with the same content is not touched: readers may
// rely on its time.
func TestDirBucketLeavesEqualObjects(t *testing.T) {
	dir := t.TempDir()
	b, err := telemetry.NewDirBucket(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "a")
	for _, c := range []struct {
		body    string
		touched bool
	}{{"one", true}, {"one", false}, {"two", true}} {
		old := march
		if _, err := os.Stat(name); err == nil {
			if err := os.Chtimes(name, old, old); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Put(t.Context(), "a", []byte(c.body)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil || info.ModTime().Equal(old) == c.touched {
			t.Errorf("%s: %v, %v", c.body, info.ModTime(), err)
		}
	}
}
