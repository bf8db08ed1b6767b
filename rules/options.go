package rules

import (
	"errors"
	"log/slog"
	"time"
)

// Options are the optional parts of an [Engine]. A nil *Options is all
// defaults.
type Options struct {
	// Compile is how statements are compiled. A rule's own SQLVersion takes
	// precedence over its Version.
	Compile *CompileOptions

	// MaxActions is how many actions a rule may have. Zero means 10, the AWS
	// limit; negative means no limit.
	MaxActions int

	// MaxRuleBytes is the largest rule accepted, as JSON without its name.
	// Zero means 131,072, the AWS limit; negative means no limit.
	MaxRuleBytes int

	// MaxRules is how many rules the engine takes. Zero or less means no
	// limit. AWS has 1,000. Rules that the store holds are always opened.
	MaxRules int

	// MaxHops is how often rules may pass on what began as one message, each
	// republish to a topic of another rule, or of the same, being one hop.
	// Zero means 10; negative means none at all.
	MaxHops int

	// Patience is how long Handle waits for the rules of a message whose
	// statements call functions of CompileOptions.Funcs that are not Inline. They are evaluated
	// beside it, each on a goroutine of its own, so that a slow function holds
	// up neither the other rules nor the publisher: what is not done when
	// patience ends goes on without Handle, which then cannot return its
	// errors, and is lost in a crash. While something of a rule has been left
	// behind, Handle does not wait for that rule at all. Zero means 50 ms.
	// Negative means that Handle evaluates these rules itself, as any other:
	// nothing is lost then, and everybody waits.
	Patience time.Duration

	// MaxBehind is how many messages of one rule may have been left behind.
	// With more the rule does not get the message, which counts as Failed for
	// ReasonSlow. Zero means 1,000.
	MaxBehind int

	// AllowCycles accepts rules that republish to their own topic filter,
	// directly or through others, which are refused otherwise (see [Cycles]).
	// MaxHops ends what they make of a message in any case. Rules that the
	// store holds are always opened.
	AllowCycles bool

	// Now gives the times written into rules. Nil means time.Now.
	Now func() time.Time

	// Logger hears of edits, with what [Lint] finds in the statement (at level
	// warn), of broken rules, and of failures: for each rule
	// the 1st, 2nd, 4th, 8th and so on at level warn, all of them at level
	// debug. Nil is silence.
	Logger *slog.Logger

	// Trace is told of single events. Nil is nobody.
	Trace *Trace
}

// A Trace is a set of functions, each of which may be nil. They are called on
// the goroutine that the event happens on, from many at once, and should be
// quick.
type Trace struct {
	// Failed is called for each message that counts as Failed or DeadLettered
	// in the ledger of the rule, with the cause.
	Failed func(rule string, reason Reason, err error)
}

// options are Options with the defaults filled in.
type options struct{ Options }

func newOptions(given *Options) (*options, error) {
	o := new(options)
	if given != nil {
		o.Options = *given
	}
	if o.Compile == nil {
		o.Compile = new(CompileOptions)
	}
	if o.MaxActions > maxTracked {
		return nil, errors.New("rules: Options.MaxActions is above 62")
	}
	if o.MaxActions == 0 {
		o.MaxActions = 10
	}
	if o.MaxActions < 0 {
		o.MaxActions = maxTracked
	}
	if o.MaxRuleBytes == 0 {
		o.MaxRuleBytes = 128 << 10
	}
	switch {
	case o.MaxHops == 0:
		o.MaxHops = 10
	case o.MaxHops < 0:
		o.MaxHops = 0
	}
	if o.Patience == 0 {
		o.Patience = 50 * time.Millisecond
	}
	if o.MaxBehind <= 0 {
		o.MaxBehind = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = new(Trace)
	}
	return o, nil
}
