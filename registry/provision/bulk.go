package provision

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A BulkResult is what became of one line.
type BulkResult struct {
	Line int // from 1
	Result
	Err error
}

// A BulkReport counts the lines of a Bulk.
type BulkReport struct{ Registered, Failed int }

// maxLine bounds a line: parameters, among them a CSR.
const maxLine = 64 << 10

// Bulk applies a template body once for each line, a JSON object of
// parameters, with workers at a time (8 if it is 0). each hears of every line,
// in no order, one at a time, as soon as it is done: it shows progress and
// keeps certificates and failures. A bad line fails alone. The error is that of
// the template, of reading, or of ctx; lines before it are done.
func (s *Service) Bulk(ctx context.Context, body string, lines io.Reader, workers int, each func(BulkResult)) (report BulkReport, err error) {
	t, err := s.template(body)
	if err != nil {
		return report, err
	}
	if workers <= 0 {
		workers = 8
	}
	type line struct {
		n    int
		text []byte
	}
	var mu sync.Mutex
	done := func(r BulkResult) {
		mu.Lock()
		defer mu.Unlock()
		if r.Err != nil {
			report.Failed++
		} else {
			report.Registered++
		}
		if each != nil {
			each(r)
		}
	}
	work := make(chan line)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for l := range work {
				result, err := s.bulkLine(ctx, t, l.text)
				done(BulkResult{l.n, result, err})
			}
		})
	}
	n := 0
	in := bufio.NewScanner(lines)
	in.Buffer(make([]byte, 0, 4096), maxLine)
	for ctx.Err() == nil && in.Scan() {
		n++
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 {
			continue
		}
		work <- line{n, bytes.Clone(text)}
	}
	close(work)
	wg.Wait()
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return report, fmt.Errorf("%w: line %d has more than %d bytes", ErrInvalid, n+1, maxLine)
	} else if err != nil {
		return report, fmt.Errorf("provision: line %d: %w", n+1, err)
	}
	return report, ctx.Err()
}

func (s *Service) bulkLine(ctx context.Context, t *Template, text []byte) (Result, error) {
	var params map[string]string
	if err := json.Unmarshal(text, &params); err != nil {
		return Result{}, fmt.Errorf("%w: a line is an object of texts: %w", ErrInvalid, err)
	}
	p, err := t.Resolve(params)
	if err != nil {
		return Result{}, err
	}
	return s.Apply(ctx, p)
}
