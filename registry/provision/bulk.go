package provision

import (
	"context"
	"encoding/json"
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
	var mu sync.Mutex
	err = eachLine(ctx, lines, workers, func(n int, text []byte, long error) {
		result, err := s.bulkLine(ctx, t, text, long)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			report.Failed++
		} else {
			report.Registered++
		}
		if each != nil {
			each(BulkResult{n, result, err})
		}
	})
	return report, err
}

func (s *Service) bulkLine(ctx context.Context, t *Template, text []byte, long error) (Result, error) {
	if long != nil {
		return Result{}, long
	}
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
