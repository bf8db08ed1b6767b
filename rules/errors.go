package rules

import (
	"errors"
	"fmt"
	"strconv"
)

var (
	// ErrNotFound says that there is no rule of that name.
	ErrNotFound = errors.New("rules: no such rule")

	// ErrExists refuses to create a rule whose name is taken. Use Replace or
	// Put to change the rule that has it.
	ErrExists = errors.New("rules: rule exists")

	// ErrInvalid is wrapped by every [RuleError]: the rule cannot work as it
	// is written, and nothing was changed.
	ErrInvalid = errors.New("rules: invalid rule")

	// ErrVersionConflict says that the rule has changed since the caller read
	// the Version it named. Read it again and decide.
	ErrVersionConflict = errors.New("rules: version conflict")

	// ErrTooMany refuses one rule more than Options.MaxRules.
	ErrTooMany = errors.New("rules: too many rules")

	// ErrClosed is returned by an Engine after Close.
	ErrClosed = errors.New("rules: engine closed")

	// ErrGivenUp is wrapped by the error of Engine.Shutdown where functions of
	// statements had not returned in time. What they were called for is lost,
	// and counted as that.
	ErrGivenUp = errors.New("rules: evaluations given up")

	// ErrPending is returned by an [Action] that has taken a delivery and will
	// report its outcome later through Firing.Done or Engine.Settle. It is not
	// a failure.
	ErrPending = errors.New("rules: delivery pending")

	// ErrDeadLettered is wrapped by the failure of a delivery that the action
	// itself has put where it can be found again, such as the dead letter of a
	// queue. It still calls for the error action; without one, or if that
	// fails too, the message counts as DeadLettered and not as Failed.
	ErrDeadLettered = errors.New("rules: dead-lettered")

	// ErrPanic is wrapped by the error that a panic in an action or in a
	// function of a statement becomes.
	ErrPanic = errors.New("rules: panic")

	// ErrID says that a delivery ID was not made by [Firing.ID].
	ErrID = errors.New("rules: malformed delivery ID")

	// ErrHopLimit refuses a message that rules have passed on more than
	// Options.MaxHops times. The action that published it sees the error.
	ErrHopLimit error = permanent("rules: too many hops, do rules feed one another?")
)

// permanent is an error that the same message would meet again.
type permanent string

func (e permanent) Error() string { return string(e) }
func (permanent) Permanent() bool { return true }

// isPermanent reports whether err, or an error it wraps, has a method
// Permanent() bool that returns true.
func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// A RuleError says which part of a rule is wrong. It wraps [ErrInvalid] and the
// cause, which is a *SyntaxError where the statement does not compile and the
// binder's own error where the parameters of an action are wrong.
type RuleError struct {
	Rule  string // its name
	Field string // "ruleName", "sql", "actions", "actions[2]", "errorAction", "tags" or "rule"
	Err   error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rules: rule %q: %s: %v", e.Rule, e.Field, e.Err)
}

// Unwrap gives ErrInvalid and the cause.
func (e *RuleError) Unwrap() []error { return []error{ErrInvalid, e.Err} }

func actionField(i int) string {
	if i == ErrorAction {
		return "errorAction"
	}
	return "actions[" + strconv.Itoa(i) + "]"
}

// An ActionError is the failure of one action of a rule for one message. It
// wraps what the action returned.
type ActionError struct {
	Rule   string
	Action int    // index in Rule.Actions, or ErrorAction
	Type   string // of the ActionSpec
	Err    error
}

func (e *ActionError) Error() string {
	return fmt.Sprintf("rules: rule %q: %s (%s): %v", e.Rule, actionField(e.Action), e.Type, e.Err)
}

func (e *ActionError) Unwrap() error { return e.Err }

// A PanicError is what a panic in an action or in a function of a statement
// becomes. It wraps [ErrPanic], and the value if that is an error. It is
// permanent: the same message would most likely meet it again.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("rules: panic: %v", e.Value) }

// Permanent returns true.
func (e *PanicError) Permanent() bool { return true }

// Unwrap gives ErrPanic, and the value of the panic if it is an error.
func (e *PanicError) Unwrap() []error {
	if err, ok := e.Value.(error); ok {
		return []error{ErrPanic, err}
	}
	return []error{ErrPanic}
}
