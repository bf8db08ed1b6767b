package sql

import (
	"context"
	"time"
)

// An Input is what a statement, an expression or a template is evaluated on.
// It is only read; the zero value is an empty message.
type Input struct {
	Payload   []byte
	Topic     string // with the prefix $aws/rules/<name>/ if it came by Basic Ingest
	ClientID  string // empty: not sent over MQTT, clientid() is n/a
	Principal string // empty: unknown, principal() is Undefined
	SourceIP  string
	TraceID   string
	AccountID string

	// Time is what timestamp() returns. The zero Time means now.
	Time time.Time

	Properties Properties

	// Variables answer @name in templates, see TemplateOptions.
	Variables []Variable

	// Host answers the nodes that ExprOptions.Host claimed, by their slot.
	Host []Value
}

// Properties are the MQTT 5 properties that get_mqtt_property and
// get_user_properties read. Empty means absent.
type Properties struct {
	UTF8            bool // payload format indicator 1
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty // in order, names may repeat
}

// A UserProperty is one MQTT 5 user property.
type UserProperty struct{ Name, Value string }

// A Variable is the value of one variable of a SET clause.
type Variable struct {
	Name  string // without the @
	Value Value
}

// Language versions. Beta is an alias of Version2016.
const (
	Version2015 = "2015-10-08"
	Version2016 = "2016-03-23"
	VersionBeta = "beta"
)

// A Function is a function that the host adds, or its answer to one of the
// functions that ask the outside. Call is used from many goroutines, its
// arguments are its own to keep. An error or a panic abandons the evaluation
// with a FunctionError.
type Function struct {
	Name string

	// Inline says that a function of the host's own is quick: Statement.Asks
	// does not count it.
	Inline bool

	Call func(ctx context.Context, args []Value) (Value, error)
}

// Options are the parts of the language that a host chooses. A nil *Options
// is all defaults.
type Options struct {
	// Version is the language version. Empty means 2016-03-23.
	Version string

	// DecimalDivision makes Int / Int a Decimal (7 / 2 is 3.5) instead of an
	// Int (7 / 2 is 3).
	DecimalDivision bool

	// Functions are the host's: functions with names of their own, and
	// answers to those of the language that ask the outside, which are
	// aws_lambda, get_dynamodb, get_registry_data, get_secret,
	// get_thing_shadow, machinelearning_predict, and decode_proto for
	// decode(.., 'proto', ..), whose first argument is base64 always, also
	// where the statement has *. A call of one that is not here is a
	// SyntaxError.
	Functions []Function

	// Answers says what would answer a function that asks the outside and is
	// not among Functions, for the SyntaxError; by its name there.
	Answers map[string]string

	// MaxTextBytes is the longest statement or template accepted. Zero
	// means 131072, the limit of the service.
	MaxTextBytes int

	// MaxDepth is how deep expressions nest. Zero means 100.
	MaxDepth int

	// MaxQueryDepth is how deep queries nest. Zero means 16.
	MaxQueryDepth int

	// MaxValueBytes is the largest value that an expression may build, as
	// text. Zero means 1 MiB. Beyond it the evaluation fails with ErrLimit.
	MaxValueBytes int

	// MaxWork bounds one evaluation: bytes of JSON searched, bytes of text
	// built, elements visited. Zero means 64 Mi. Beyond it the evaluation
	// fails with ErrLimit.
	MaxWork int
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&d.MaxTextBytes, 128<<10)
	def(&d.MaxDepth, 100)
	def(&d.MaxQueryDepth, 16)
	def(&d.MaxValueBytes, 1<<20)
	def(&d.MaxWork, 64<<20)
	if d.Version == "" {
		d.Version = Version2016
	}
	return d
}
