package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// jobDocument reads the document of a job that names it by documentSource,
// which as at AWS is the URL of an object in S3. The bucket is a folder below
// imports, as for registration tasks. One byte more than the limit is read, so
// that a document that is too large is refused as such.
func (b *backend) jobDocument(ctx context.Context, source string) ([]byte, error) {
	bucket, key, err := objectOf(source)
	if err != nil {
		return nil, err
	}
	f, err := b.imports(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 32<<10+1))
}

// objectOf splits the URL of an object in S3, of either style:
// https://s3.REGION.amazonaws.com/BUCKET/KEY and https://BUCKET.s3.REGION.amazonaws.com/KEY.
func objectOf(source string) (bucket, key string, err error) {
	u, err := url.Parse(source)
	if err != nil {
		return "", "", err
	}
	host, ok := strings.CutSuffix(u.Hostname(), ".amazonaws.com")
	key = strings.TrimPrefix(u.Path, "/")
	if before, _, found := strings.Cut(host, ".s3"); found {
		bucket = before
	} else if strings.HasPrefix(host, "s3") {
		bucket, key, _ = strings.Cut(key, "/")
	}
	if !ok || u.Scheme != "https" || bucket == "" || key == "" {
		return "", "", fmt.Errorf("%q is not the URL of an object in S3", source)
	}
	return bucket, key, nil
}
