package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

// awsActions are the names that the rules of AWS IoT have for their actions.
var awsActions = []string{
	"cloudwatchAlarm", "cloudwatchLogs", "cloudwatchMetric", "dynamoDB", "dynamoDBv2", "elasticsearch", "firehose", "http",
	"influxDB", "iotAnalytics", "iotEvents", "iotSiteWise", "kafka", "kinesis", "lambda", "location", "openSearch", "republish",
	"s3", "salesforce", "sns", "sqs", "stepFunctions", "timestream",
}

// An UnknownActionError says that a catalog has no action of that name. It
// wraps ErrUnknownAction.
type UnknownActionError struct {
	Name    string
	Offered []string // what the catalog has, in order
}

func (e *UnknownActionError) Error() string {
	text := fmt.Sprintf("%v %q", ErrUnknownAction, e.Name)
	switch {
	case slices.Contains(awsActions, e.Name):
		text += ", which AWS IoT has and this program does not offer"
	case nearest(e.Name, e.Offered) != "":
		text += "; did you mean " + nearest(e.Name, e.Offered) + "?"
	}
	if len(e.Offered) == 0 {
		return text + "; none is offered"
	}
	return text + "; offered are " + strings.Join(e.Offered, ", ")
}

// Unwrap gives ErrUnknownAction.
func (e *UnknownActionError) Unwrap() error { return ErrUnknownAction }

// A RoleARN is the parameter roleArn of an action of AWS IoT. It is required
// where AWS requires it and kept with the rule, so that a rule can be taken
// back there; nobody here assumes the role. Substitutions are not allowed in it.
type RoleARN string

// UnmarshalText refuses the empty text, more than 2048 bytes, and substitutions.
func (a *RoleARN) UnmarshalText(b []byte) error {
	switch {
	case len(b) == 0:
		return errors.New("empty")
	case len(b) > 2048:
		return fmt.Errorf("%d bytes, at most 2048 are allowed", len(b))
	case strings.Contains(string(b), "${"):
		return errors.New("takes no substitutions")
	}
	*a = RoleARN(b)
	return nil
}

// ForErrorAction reports whether an action is opened as the error action of a
// rule, for parameters that are not allowed there. ctx is that of Spec.Open.
func ForErrorAction(ctx context.Context) bool {
	b := sql.BindingOf(ctx)
	return b != nil && b.ErrorAction
}

// A Concurrent is an Action that wants more of its requests at a time than
// Spec.Workers says, as one does that collects several before it sends.
type Concurrent interface {
	// Concurrency is how many workers the action may have, at least 1. It
	// never changes.
	Concurrency() int
}
