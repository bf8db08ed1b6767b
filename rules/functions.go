package rules

import (
	"context"
	"encoding/json"
	"time"
)

// Funcs answer the functions that ask the outside. A statement that calls one
// that is nil does not compile. Results are JSON; an error abandons the
// evaluation, unless get_or_default takes it back. All are called from many
// goroutines, and should heed ctx.
type Funcs struct {
	// Lambda answers aws_lambda(arn, input). Its context ends after
	// LambdaTimeout; zero means 2 seconds, the AWS limit.
	Lambda        func(ctx context.Context, arn string, input json.RawMessage) (json.RawMessage, error)
	LambdaTimeout time.Duration

	// Timeout is how long the context of a call of any other function lasts.
	// Zero means 10 seconds; negative means that it does not end by itself. A
	// function that does not heed it holds up its own rule, and Engine.Close,
	// until Engine.Shutdown gives it up.
	Timeout time.Duration

	// Shadow answers get_thing_shadow(thing[, shadow], role). The shadow is
	// empty for the classic one.
	Shadow func(ctx context.Context, thing, shadow, role string) (json.RawMessage, error)

	// Registry answers get_registry_data(api, thing, role); api is
	// DescribeThing or ListThingGroupsForThing.
	Registry func(ctx context.Context, api, thing, role string) (json.RawMessage, error)

	// DynamoDB answers get_dynamodb(table, key, value[, key, value], role).
	DynamoDB func(ctx context.Context, q TableQuery) (json.RawMessage, error)

	// Secret answers get_secret(id, type[, key], role); kind is SecretString
	// or SecretBinary.
	Secret func(ctx context.Context, id, kind, key, role string) (json.RawMessage, error)

	// Predict answers machinelearning_predict(model, role, record). The record
	// is an object of scalars: of a member that is an array or an object it has
	// the JSON as a string. The answer is an object with predictedLabel,
	// details, predictedScores and predictedValue.
	Predict func(ctx context.Context, model, role string, record json.RawMessage) (json.RawMessage, error)

	// Proto answers decode(data, 'proto', bucket, key, protoName, messageType).
	// The nested module contrib/rulesproto has one over a folder of descriptor
	// sets; it is nested so that this one does not require protobuf.
	Proto func(ctx context.Context, data []byte, schema ProtoSchema) (json.RawMessage, error)

	// User are functions of your own.
	User []Function
}

// A TableQuery is what get_dynamodb asks for.
type TableQuery struct {
	Table          string
	PartitionKey   string
	PartitionValue json.RawMessage
	SortKey        string // empty without one
	SortValue      json.RawMessage
	Role           string
}

// A ProtoSchema names a message type in a descriptor set.
type ProtoSchema struct{ Bucket, Key, File, MessageType string }

// A Function is a function of your own, documented beside those of the language
// by [Functions]. Fn is a Go function
//
//	func([context.Context,] args...) (result[, error])
//
// whose arguments are string, float64, int64, bool or json.RawMessage and
// whose result is one of these. Arguments are converted as those of built-in
// functions; one that does not convert, or a wrong count, makes the call
// Undefined, except that json.RawMessage takes anything (nil for Undefined).
// A nil json.RawMessage as result is Undefined. An error or a panic abandons
// the evaluation of that rule for that message.
type Function struct {
	Name string // lower case; letters, digits and _
	Doc  string // one line, for people
	Fn   any

	// Inline says that Fn is as quick as a built-in function and waits for
	// nothing, so that it need not be kept from holding up others: it is called
	// on the goroutine of Handle, which saves some microseconds. See
	// Options.Patience.
	Inline bool
}
