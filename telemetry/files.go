package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// FilesOptions are the optional parts of Files. Nil is all defaults.
type FilesOptions struct {
	// Key is the template of the objects' keys. Zero means
	// "{yyyy}/{mm}/{dd}/{hh}/{id}.jsonl", and the same with ".gz" after it
	// if Gzip is set. Placeholders:
	//
	//	{yyyy} {mm} {dd} {hh} {min}  when the batch was cut, in UTC
	//	{partition}                  its number
	//	{id}                         the batch's ID; must be in the template
	Key string

	// Prefix is put in front of Key, as "climate/".
	Prefix string

	// MaxBytes and MaxRecords are how much makes a file, MaxWait how long a
	// record may wait for it (the buffering hints of a delivery stream).
	// Zero means 4 MiB, 100,000 records and 60 seconds. They are memory per partition.
	MaxBytes   int
	MaxRecords int
	MaxWait    time.Duration

	// Gzip compresses the files.
	Gzip bool

	// Envelope writes each line as an object of the members "key", "time"
	// (RFC 3339), "partition", "offset" and "value" instead of the value; for
	// one that is not JSON, "base64" in the place of "value".
	Envelope bool

	// Concatenate writes the values one after the other with nothing between
	// them, byte for byte, as a delivery stream of Firehose does: whoever puts
	// them says how they are told apart. The key then has no ".jsonl" by default.
	Concatenate bool
}

// A FileSink writes each batch as one file of JSON lines into a bucket. Made
// by Files.
type FileSink struct {
	bucket Bucket
	opts   FilesOptions
	tmpl   []segment

	files, records, bytes atomic.Int64
}

var (
	_ Sink   = (*FileSink)(nil)
	_ Hinter = (*FileSink)(nil)
)

// Files returns a sink that writes JSON lines: one file per batch, one line
// per record, in order (a value that is not JSON and has line breaks becomes a
// JSON string). The name and content of a file depend on the batch
// alone, so that a batch which is repeated after a crash repeats its file:
// the files of a consumer hold each record exactly once, and a file that was
// once visible never changes.
func Files(b Bucket, opts *FilesOptions) (*FileSink, error) {
	var o FilesOptions
	if opts != nil {
		o = *opts
	}
	if o.Key == "" {
		o.Key = "{yyyy}/{mm}/{dd}/{hh}/{id}"
		if !o.Concatenate {
			o.Key += ".jsonl"
		}
		if o.Gzip {
			o.Key += ".gz"
		}
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 20
	}
	if o.MaxRecords == 0 {
		o.MaxRecords = 100_000
	}
	if o.MaxWait == 0 {
		o.MaxWait = time.Minute
	}
	tmpl, err := parseTemplate(o.Prefix + o.Key)
	if o.Envelope && o.Concatenate {
		err = errors.Join(err, errors.New("telemetry: FilesOptions: Envelope and Concatenate"))
	}
	if o.MaxBytes < 0 || o.MaxRecords < 0 || o.MaxWait < 0 {
		err = errors.Join(err, errors.New("telemetry: FilesOptions: MaxBytes, MaxRecords or MaxWait is negative"))
	}
	if err != nil {
		return nil, err
	}
	f := &FileSink{bucket: b, opts: o, tmpl: tmpl}
	if err := checkKey(f.key(Batch{ID: "id"})); err != nil {
		return nil, err
	}
	return f, nil
}

// Hints implements Hinter.
func (f *FileSink) Hints() Hints {
	return Hints{MaxRecords: f.opts.MaxRecords, MaxBytes: f.opts.MaxBytes, MaxWait: f.opts.MaxWait}
}

// Write implements Sink. A batch without records makes no file.
func (f *FileSink) Write(ctx context.Context, b Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	var body []byte
	for i := range b.Records {
		switch {
		case f.opts.Envelope:
			body = appendEnvelope(body, &b.Records[i])
		case f.opts.Concatenate:
			body = append(body, b.Records[i].Value...)
		default:
			body = appendLine(body, b.Records[i].Value)
		}
	}
	if f.opts.Gzip {
		var err error
		if body, err = compress(body); err != nil {
			return err
		}
	}
	if err := f.bucket.Put(ctx, f.key(b), body); err != nil {
		return err
	}
	f.files.Add(1)
	f.records.Add(int64(len(b.Records)))
	f.bytes.Add(int64(len(body)))
	return nil
}

// FileStats are counters of a FileSink since it was made.
type FileStats struct {
	Files, Records, Bytes int64 // written, repetitions included
}

// Stats returns the counters.
func (f *FileSink) Stats() FileStats {
	return FileStats{Files: f.files.Load(), Records: f.records.Load(), Bytes: f.bytes.Load()}
}

// compress leaves the header's time unset: equal batches make equal files.
func compress(body []byte) ([]byte, error) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(body); err != nil {
		return nil, fmt.Errorf("telemetry: gzip: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("telemetry: gzip: %w", err)
	}
	return buf.Bytes(), nil
}

func appendEnvelope(dst []byte, r *Record) []byte {
	dst = append(dst, `{"key":`...)
	dst = appendString(dst, r.Key)
	dst = append(dst, `,"time":"`...)
	dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	if !validJSON(r.Value) {
		dst = append(dst, `,"base64":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, r.Value), "\"}\n"...)
	}
	dst = append(dst, `,"value":`...)
	dst = appendLine(dst, r.Value)
	dst[len(dst)-1] = '}'
	return append(dst, '\n')
}

// A segment of a key template is literal text or a placeholder.
type segment struct {
	text string
	hole bool
}

func parseTemplate(s string) ([]segment, error) {
	var segs []segment
	hasID := false
	for rest := s; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			segs = append(segs, segment{text: rest})
			break
		}
		if open > 0 {
			segs = append(segs, segment{text: rest[:open]})
		}
		end := strings.IndexByte(rest[open:], '}')
		if end < 0 {
			return nil, fmt.Errorf("%w: template %q: '{' at byte %d is not closed", ErrInvalidName, s, len(s)-len(rest)+open)
		}
		name := rest[open+1 : open+end]
		switch name {
		case "yyyy", "mm", "dd", "hh", "min", "partition":
		case "id":
			hasID = true
		default:
			return nil, fmt.Errorf("%w: template %q: unknown placeholder {%s}", ErrInvalidName, s, name)
		}
		segs = append(segs, segment{name, true})
		rest = rest[open+end+1:]
	}
	if !hasID {
		return nil, fmt.Errorf("%w: template %q has no {id}: batches would overwrite one another", ErrInvalidName, s)
	}
	return segs, nil
}

func (f *FileSink) key(b Batch) string {
	t := b.Time.UTC()
	var sb strings.Builder
	for _, s := range f.tmpl {
		if !s.hole {
			sb.WriteString(s.text)
			continue
		}
		switch s.text {
		case "yyyy":
			sb.WriteString(t.Format("2006"))
		case "mm":
			sb.WriteString(t.Format("01"))
		case "dd":
			sb.WriteString(t.Format("02"))
		case "hh":
			sb.WriteString(t.Format("15"))
		case "min":
			sb.WriteString(t.Format("04"))
		case "partition":
			sb.WriteString(strconv.Itoa(b.Partition))
		case "id":
			sb.WriteString(b.ID)
		}
	}
	return sb.String()
}
