package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	placeholderOpen   = "${aws:iot:"
	presignOpen       = "s3-presigned-url:"
	presignOpenV2     = "s3-presigned-url-v2:"
	parameterOpen     = "parameter:"
	defaultPresignTTL = time.Hour
)

// substitute replaces the placeholders ${aws:iot:...} of a document. replace
// gets what stands between "${aws:iot:" and "}"; what it does not know stays.
// What it returns is written as part of a JSON string.
func substitute(document string, replace func(name string) (text string, known bool, err error)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(document, placeholderOpen)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString(placeholderOpen + rest)
			return b.String(), nil
		}
		text, known, err := replace(name)
		if err != nil {
			return "", err
		}
		if known {
			quoted, err := json.Marshal(text)
			if err != nil {
				return "", err
			}
			b.Write(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(placeholderOpen + name + "}")
		}
		document = after
	}
}

// presignURL returns the URL of a placeholder for a presigned one.
func presignURL(name string) (url string, ok bool) {
	if url, ok = strings.CutPrefix(name, presignOpen); !ok {
		url, ok = strings.CutPrefix(name, presignOpenV2)
	}
	return url, ok
}

// withParameters is the document with its parameters.
func (j *Job) withParameters() (string, error) {
	return substitute(j.Document, func(name string) (string, bool, error) {
		parameter, ok := strings.CutPrefix(name, parameterOpen)
		if !ok {
			return "", false, nil
		}
		value, ok := j.Parameters[parameter]
		return value, ok, nil
	})
}

// Document returns the document of a job as the thing is to see it, with
// presigned URLs made for it. Without a thing the placeholders stay.
func (s *Service) Document(ctx context.Context, job, thing string) ([]byte, error) {
	j, err := s.Job(ctx, job)
	if err != nil {
		return nil, err
	}
	text, err := j.withParameters()
	if err != nil {
		return nil, err
	}
	if thing == "" {
		return []byte(text), nil
	}
	r := PresignRequest{Job: job, Thing: thing, Expires: defaultPresignTTL}
	if j.Presign != nil {
		r.RoleARN = j.Presign.RoleARN
		if j.Presign.ExpiresInSec > 0 {
			r.Expires = time.Duration(j.Presign.ExpiresInSec) * time.Second
		}
	}
	text, err = substitute(text, func(name string) (string, bool, error) {
		url, ok := presignURL(name)
		if !ok || s.opts.Presigner == nil {
			return "", false, nil
		}
		r.URL = url
		signed, err := s.opts.Presigner.Presign(ctx, r)
		if err != nil {
			return "", false, fmt.Errorf("jobs: presign %q for job %q: %w", url, job, err)
		}
		return signed, true, nil
	})
	return []byte(text), err
}

// fetch gives a new job or template its document, if it comes from elsewhere.
func (s *Service) fetch(ctx context.Context, document *string, source string) error {
	switch {
	case source == "":
		return nil
	case *document != "":
		return invalid("document", "and documentSource are both given")
	case s.opts.Source == nil:
		return invalid("documentSource", "is not supported here: give the document")
	}
	text, err := s.opts.Source(ctx, source)
	if err != nil {
		return invalid("documentSource", "%q cannot be read: %v", source, err)
	}
	*document = string(text)
	return nil
}

// checkDocument checks what goes to devices.
func (s *Service) checkDocument(document string, parameters map[string]string) error {
	switch {
	case document == "":
		return invalid("document", "is missing")
	case len(document) > s.opts.MaxDocumentBytes:
		return invalid("document", "has %d bytes, more than %d", len(document), s.opts.MaxDocumentBytes)
	}
	j := Job{Document: document, Parameters: parameters}
	text, err := j.withParameters()
	if err != nil {
		return err
	}
	if trimmed := strings.TrimLeft(text, " \t\r\n"); !strings.HasPrefix(trimmed, "{") || !json.Valid([]byte(text)) {
		return invalid("document", "is not a JSON object")
	}
	_, err = substitute(text, func(name string) (string, bool, error) {
		if parameter, ok := strings.CutPrefix(name, parameterOpen); ok {
			return "", false, invalid("documentParameters", "lack %q, which the document asks for", parameter)
		}
		if _, ok := presignURL(name); ok && s.opts.Presigner == nil {
			return "", false, invalid("document", "has a placeholder for a presigned URL, and there is no presigner")
		}
		return "", false, nil
	})
	return err
}
