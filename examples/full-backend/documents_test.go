package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJobDocument(t *testing.T) {
	b := &backend{cfg: Config{Data: t.TempDir()}}
	folder := filepath.Join(b.cfg.Data, "imports", "bucket", "a")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"job.json": `{"operation":"x"}`, "large": strings.Repeat("x", 40<<10)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for source, want := range map[string]int{
		"https://s3.amazonaws.com/bucket/a/job.json":             17,
		"https://s3.us-east-1.amazonaws.com/bucket/a/job.json":   17,
		"https://s3-us-west-2.amazonaws.com/bucket/a/job.json":   17,
		"https://bucket.s3.amazonaws.com/a/job.json":             17,
		"https://bucket.s3.us-east-1.amazonaws.com/a/job%2Ejson": 17,
		"https://bucket.s3-us-west-2.amazonaws.com/a/job.json":   17,
		"https://s3.amazonaws.com/bucket/a/large":                32<<10 + 1,
		"https://s3.amazonaws.com/bucket/none":                   -1,
		"https://s3.amazonaws.com/bucket/../../x":                -1,
		"https://s3.amazonaws.com/../bucket/a/job.json":          -1,
		"https://s3.amazonaws.com/bucket":                        -1,
		"http://s3.amazonaws.com/bucket/a/job.json":              -1,
		"https://example.com/bucket/a/job.json":                  -1,
		"https://s3.amazonaws.com.example.com/bucket/a/job.json": -1,
		"file:///etc/passwd":                                     -1,
		"://":                                                    -1,
	} {
		text, err := b.jobDocument(t.Context(), source)
		if (err != nil) != (want < 0) || want >= 0 && len(text) != want {
			t.Errorf("%s: %d bytes, %v", source, len(text), err)
		}
	}
}
