package rules

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// A Reason says what became of a message that a rule did not deliver.
type Reason string

// The reasons.
const (
	// ReasonWhere: WHERE was not true. The only reason for Filtered.
	ReasonWhere Reason = "where"

	// ReasonStatement: the evaluation failed, because a function that asks the
	// outside did, or at a limit. Failed.
	ReasonStatement Reason = "statement"

	// ReasonPanic: a function of the statement panicked. Failed.
	ReasonPanic Reason = "panic"

	// ReasonSlow: the functions of the statement are so slow that too many
	// messages wait for them (see Options.MaxBehind). Failed.
	ReasonSlow Reason = "slow"

	// ReasonClosed: the functions of the statement had not returned when
	// Engine.Shutdown gave them up. Failed.
	ReasonClosed Reason = "closed"

	// ReasonErrorAction: an action failed, and the error action has the
	// document. DeadLettered.
	ReasonErrorAction Reason = "error_action"

	// ReasonDeadLetter: every action that failed has put the delivery into a
	// dead letter of its own (see ErrDeadLettered), and no error action has
	// the document. DeadLettered.
	ReasonDeadLetter Reason = "dead_letter"

	// ReasonNoErrorAction: an action failed, and the rule has no error
	// action. Failed.
	ReasonNoErrorAction Reason = "no_error_action"

	// ReasonErrorActionFailed: an action failed, and the error action too.
	// Failed.
	ReasonErrorActionFailed Reason = "error_action_failed"
)

// A Ledger says what became of the messages whose topic matched the FROM
// filter of a rule, since the engine was opened and over all versions of the
// rule. At every moment
//
//	Matched = Filtered + Delivered + Pending + DeadLettered + Failed
//
// Messages are counted, not actions: a message is Delivered when every action
// of the rule has delivered it. All but Pending only grow.
type Ledger struct {
	// Matched includes Carried and messages that came by Basic Ingest.
	Matched uint64

	// Filtered are those whose WHERE was not true.
	Filtered uint64

	// Delivered are those that every action delivered.
	Delivered uint64

	// Pending are those without an outcome yet: an action has taken them and
	// not reported, or they are being worked on at this moment.
	Pending uint64

	// DeadLettered are those that an action finally failed to deliver and that
	// can be found again: the error action took the document that lists the
	// failures, or a dead letter has them.
	DeadLettered uint64

	// Failed are the others that were not delivered.
	Failed uint64

	// Reasons say why; they add up to DeadLettered + Failed.
	Reasons map[Reason]uint64

	// Carried are deliveries of an earlier process that Engine.Settle
	// reported here. They count one by one, since what belonged to one message
	// went with that process.
	Carried uint64

	// LastFailure is the latest of DeadLettered and Failed, or nil.
	LastFailure *LastFailure
}

// A LastFailure is why the latest message failed.
type LastFailure struct {
	Time   time.Time
	Reason Reason
	Err    error
}

// reasons are those of messages that were not delivered, in the order of
// ledger.lost: first those of DeadLettered, then those of Failed.
var reasons = [...]Reason{ReasonErrorAction, ReasonDeadLetter,
	ReasonStatement, ReasonPanic, ReasonSlow, ReasonClosed, ReasonNoErrorAction, ReasonErrorActionFailed}

const deadReasons = 2

// A ledger counts without a lock.
type ledger struct {
	matched, filtered, delivered, carried atomic.Uint64

	// ran counts the messages of large groups that the index did not filter:
	// all of them went through the statement. What it did filter is counted as
	// the difference, so filtered alone is too large by ran.
	ran atomic.Uint64

	lost [len(reasons)]atomic.Uint64
	last atomic.Pointer[LastFailure]

	parts []*part // of versions in large groups; guarded by Engine.sweeping
}

// ledgers makes ledgers, several at once: side by side they are in few pages,
// and the processor keeps the addresses of few. One that is in use keeps the
// memory of the others, 2 KiB.
type ledgers struct{ room []ledger }

func (l *ledgers) take() *ledger {
	if len(l.room) == 0 {
		l.room = make([]ledger, 15) // and the allocator's 8 bytes are 2 KiB at most
	}
	next := &l.room[0]
	l.room = l.room[1:]
	return next
}

// close adds what a version met in a large group, which it has left. The
// caller holds Engine.sweeping.
func (l *ledger) close(p *part) {
	met := p.met()
	l.matched.Add(met)
	l.filtered.Add(met)
	l.parts = slices.DeleteFunc(l.parts, func(q *part) bool { return q == p })
}

// lose counts a message that was not delivered, and reports whether it is the
// 1st, 2nd, 4th, 8th and so on of its reason.
func (l *ledger) lose(reason Reason, err error, now time.Time) (log bool) {
	l.last.Store(&LastFailure{now, reason, err})
	return bits.OnesCount64(l.lost[slices.Index(reasons[:], reason)].Add(1)) == 1
}

// read gives the numbers. Outcomes are read before what they are outcomes of,
// so that Pending, the difference, is never negative. The caller holds
// Engine.sweeping.
func (l *ledger) read() Ledger {
	var out Ledger
	out.Filtered = l.filtered.Load()
	out.Delivered = l.delivered.Load()
	out.Reasons = make(map[Reason]uint64)
	for i, r := range reasons {
		n := l.lost[i].Load()
		if n == 0 {
			continue
		}
		out.Reasons[r] = n
		if i < deadReasons {
			out.DeadLettered += n
		} else {
			out.Failed += n
		}
	}
	out.LastFailure = l.last.Load()
	out.Carried = l.carried.Load()
	out.Filtered -= l.ran.Load()
	for _, p := range l.parts {
		met := p.met()
		out.Matched += met
		out.Filtered += met
	}
	out.Matched += l.matched.Load()
	out.Pending = out.Matched - out.Filtered - out.Delivered - out.DeadLettered - out.Failed
	return out
}
