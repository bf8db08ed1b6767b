package shadowdevice

import (
	"errors"
	"log/slog"
	"time"
)

// Options are the optional parts of a Device. A nil *Options is all defaults.
type Options struct {
	// AnswerTimeout is how long an answer is waited for before the request
	// is sent again. Zero means 10 s.
	AnswerTimeout time.Duration

	// RetryPause is the pause after the first failure in a row: of a request, or
	// of Apply. It doubles with each up to MaxRetryPause. Zero means 250 ms.
	RetryPause time.Duration

	// MaxRetryPause is the longest pause. Zero means 30 s.
	MaxRetryPause time.Duration

	// Refresh is how often the document is asked for although nothing
	// happened, which finds what a broker lost. Zero means an hour; negative
	// means never.
	Refresh time.Duration

	// Logger hears of what failed and will be tried again. Nil is silence.
	Logger *slog.Logger
}

func (o *Options) filled() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	fill := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	fill(&f.AnswerTimeout, 10*time.Second)
	fill(&f.RetryPause, 250*time.Millisecond)
	fill(&f.MaxRetryPause, 30*time.Second)
	fill(&f.Refresh, time.Hour)
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.AnswerTimeout < 0 || f.RetryPause < 0 || f.MaxRetryPause < f.RetryPause {
		return f, errors.New("shadowdevice: options: AnswerTimeout and RetryPause must not be negative, nor MaxRetryPause less than RetryPause")
	}
	return f, nil
}
