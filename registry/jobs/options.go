package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Options are the optional parts of a Service. A nil *Options is all defaults.
type Options struct {
	// MaxDocumentBytes is the largest job document. Zero means 32768, the AWS
	// limit; negative means no limit.
	MaxDocumentBytes int

	// MaxTargets is how many things and groups one job may name. Zero means 100.
	MaxTargets int

	// MaxActive is how many jobs may be neither completed nor canceled. Zero
	// means 1000; negative means no limit.
	MaxActive int

	// MaxConcurrent is how many jobs may be rolling out or canceling executions
	// (Job.Concurrent) when another is created; continuous jobs in progress count
	// too, as AWS has it. Zero and negative mean no limit.
	MaxConcurrent int

	// MaxInFlight is how many requests of devices and operators for one thing may
	// be under way at once; more get ErrThrottled. Zero means 10; negative means
	// no limit.
	MaxInFlight int

	// Presigner makes the URLs that stand in documents for
	// ${aws:iot:s3-presigned-url:...}. Nil means that a document with such a
	// placeholder is refused.
	Presigner Presigner

	// Source reads the document of a job that names it by documentSource. Nil
	// means that documentSource is refused. It is asked once, when the job or
	// template is created.
	Source func(ctx context.Context, url string) ([]byte, error)

	// Now gives the time written into data. Nil means time.Now. Run waits by
	// the clock of package time.
	Now func() time.Time

	// Logger is told what Run could not do and what was swallowed. Nil is silence.
	Logger *slog.Logger
}

// A Presigner turns a URL of a document into one that a device may read for a
// while. It is called with no lock held, when a document is given out.
type Presigner interface {
	Presign(ctx context.Context, r PresignRequest) (url string, err error)
}

// A PresignRequest is one placeholder of a document that is given out.
type PresignRequest struct {
	URL        string // as it stands in the placeholder
	Job, Thing string
	RoleARN    string        // of the job's presignedUrlConfig; may be empty
	Expires    time.Duration // 60 seconds to one hour
}

const unlimited = int(^uint(0) >> 1)

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	for _, f := range []struct {
		v   *int
		def int
	}{{&out.MaxDocumentBytes, 32 << 10}, {&out.MaxTargets, 100}, {&out.MaxActive, 1000}, {&out.MaxInFlight, 10}} {
		switch {
		case *f.v == 0:
			*f.v = f.def
		case *f.v < 0:
			*f.v = unlimited
		}
	}
	if o != nil && o.MaxTargets < 0 {
		return out, errors.New("jobs: Options.MaxTargets is negative")
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out, nil
}
