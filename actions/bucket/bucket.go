// Package bucket is the action plugin "s3": it stores what a rule selected as
// an object of a bucket, with the parameters of the action of AWS IoT.
//
//	{"s3": {"bucketName": "readings", "key": "${topic()}/${timestamp()}", "roleArn": "..."}}
//
// An object is put whole, and replaces one of the same key.
//
// # Keys
//
// All buckets lie in one Putter, an object under <prefix><bucketName>/<key>.
// What no file system takes as a name, or takes for something else, is escaped
// as in a URL: "%", ":", "\", control characters and bytes that are not UTF-8
// anywhere, a "." at the beginning of an element, and an empty element is "%".
// So a key is never above its bucket whatever a message says, and two keys are
// never one: see [Escape]. On a file system one limit of S3 is less: an object
// at "a/b" keeps one from being at "a", and the other way round.
package bucket

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thingloom/thingloom/actions"
)

// A Putter is the part of a bucket that the plugin needs. *telemetry.DirBucket has it.
type Putter interface {
	// Put stores an object whole and durably, in place of what is there. It
	// may be called from several goroutines, also with the same key.
	Put(ctx context.Context, key string, body []byte) error
}

// Options are the optional parts of the plugin. A nil *Options is all defaults.
type Options struct {
	// Prefix is put in front of all keys. Empty means "s3/"; it ends in a slash.
	Prefix string

	// Refused tells which errors of Put no further attempt can mend. Nil means none.
	Refused func(error) bool
}

// Params are the parameters of the s3 action of AWS IoT.
type Params struct {
	BucketName actions.Template `json:"bucketName" required:"true" doc:"name of the bucket, as S3 allows it; it need not be made"`
	Key        actions.Template `json:"key" required:"true" doc:"key of the object, 1 to 1024 bytes"`
	CannedACL  string           `json:"cannedAcl" doc:"one of the canned access control lists of S3; without effect, since nobody reads but by the program"`
	RoleARN    actions.RoleARN  `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// cannedACLs are those that S3 has.
var cannedACLs = []string{"", "private", "public-read", "public-read-write", "aws-exec-read", "authenticated-read",
	"bucket-owner-read", "bucket-owner-full-control", "log-delivery-write"}

// maxKeyBytes is the limit of S3.
const maxKeyBytes = 1024

// Spec returns the plugin. An action has one worker: of two messages with the
// same key the later one's object stays.
func Spec(p Putter, opts *Options) actions.Spec {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Prefix == "" {
		o.Prefix = "s3/"
	}
	if o.Refused == nil {
		o.Refused = func(error) bool { return false }
	}
	s := actions.NewSpec("s3", "store the payload as an object of a bucket", func(_ context.Context, params *Params) (actions.Action, error) {
		if name, constant := params.BucketName.Constant(); constant {
			if err := CheckName(name); err != nil {
				return nil, &actions.ParamError{Path: "bucketName", Err: err}
			}
		}
		if key, constant := params.Key.Constant(); constant {
			if err := checkKey(key); err != nil {
				return nil, &actions.ParamError{Path: "key", Err: err}
			}
		}
		if !slices.Contains(cannedACLs, params.CannedACL) {
			return nil, &actions.ParamError{Path: "cannedAcl", Err: fmt.Errorf("%q is none of %s", params.CannedACL, strings.Join(cannedACLs[1:], ", "))}
		}
		return &action{p, params, &o}, nil
	})
	s.Workers = 1
	return s
}

type action struct {
	putter  Putter
	params  *Params
	options *Options
}

var _ actions.Action = (*action)(nil)

func (a *action) Do(ctx context.Context, r *actions.Request) error {
	name, err := a.params.BucketName.Expand(ctx, r)
	if err != nil {
		return err
	}
	return actions.WithResource(a.put(ctx, name, r), name)
}

func (a *action) put(ctx context.Context, name string, r *actions.Request) error {
	key, err := a.params.Key.Expand(ctx, r)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckName(name), checkKey(key)); err != nil {
		return actions.Permanent(fmt.Errorf("s3: %w", err))
	}
	if err := a.putter.Put(ctx, a.options.Prefix+name+"/"+Escape(key), r.Payload); err != nil {
		err = fmt.Errorf("s3: bucket %s: put %q: %w", name, key, err)
		if a.options.Refused(err) {
			return actions.Permanent(err)
		}
		return err
	}
	return nil
}

// CheckName reports whether S3 has buckets of that name: 3 to 63 lower-case
// letters, digits, dots and hyphens, a letter or digit at both ends, no two
// dots together.
func CheckName(name string) error {
	ok := len(name) >= 3 && len(name) <= 63 && !strings.Contains(name, "..")
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		ok = ok && (letter || i > 0 && i < len(name)-1 && (c == '.' || c == '-'))
	}
	if !ok {
		return fmt.Errorf("%.80q is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends", name)
	}
	return nil
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKeyBytes {
		return fmt.Errorf("a key of %d bytes, 1 to %d are allowed", len(key), maxKeyBytes)
	}
	return nil
}

// Escape writes the key of an object as a relative path that stays where it is
// put, as the comment of the package says.
func Escape(key string) string {
	var b strings.Builder
	for i, elem := range strings.Split(key, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if elem == "" {
			b.WriteByte('%')
		}
		for j := 0; j < len(elem); {
			r, size := utf8.DecodeRuneInString(elem[j:])
			switch {
			case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f, r == '%', r == ':', r == '\\', r == '.' && j == 0:
				fmt.Fprintf(&b, "%%%02X", elem[j])
			default:
				b.WriteString(elem[j : j+size])
			}
			j += size
		}
	}
	return b.String()
}

// Unescape is the key that Escape wrote as path.
func Unescape(path string) (string, error) {
	elems := strings.Split(path, "/")
	for i, elem := range elems {
		if elem == "%" {
			elems[i] = ""
			continue
		}
		var b strings.Builder
		for j := 0; j < len(elem); j++ {
			if elem[j] != '%' {
				b.WriteByte(elem[j])
				continue
			}
			c, err := hex.DecodeString(elem[j+1 : min(j+3, len(elem))])
			if err != nil || len(c) != 1 {
				return "", fmt.Errorf("%.80q is no path that Escape wrote", path)
			}
			b.Write(c)
			j += 2
		}
		elems[i] = b.String()
	}
	key := strings.Join(elems, "/")
	if Escape(key) != path {
		return "", fmt.Errorf("%.80q is no path that Escape wrote", path)
	}
	return key, nil
}
