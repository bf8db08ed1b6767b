// Package rules runs AWS IoT rules: SQL over messages, and actions for what it
// selects.
//
//	SELECT t, topic(2) AS thing FROM 'sensors/+/climate' WHERE t > 30
//
// A statement alone is a [Query]: [Compile] once, [Query.Eval] often. An
// [Engine] holds many rules, keeps them in a [Store], and offers every message
// to those whose filter matches its topic:
//
//	engine, err := rules.Open(ctx, rules.NewMemStore(), binder, nil)
//	err = engine.Put(ctx, rules.Rule{
//		Name:    "hot",
//		SQL:     "SELECT t, topic(2) AS thing FROM 'sensors/+/climate' WHERE t > 30",
//		Actions: []rules.ActionSpec{{Type: "log"}},
//	})
//	err = engine.Handle(ctx, &rules.Message{Topic: "sensors/s1/climate", Payload: []byte(`{"t": 31}`)})
//
// What actions there are is not this package's business: a [Binder] of the
// program makes an [Action] of each [ActionSpec] when the rule is put.
//
// # The language
//
// Statements are those of AWS IoT, version 2016-03-23 unless
// [CompileOptions].Version says otherwise: SET, SELECT, SELECT VALUE, FROM,
// WHERE, CASE, IN, EXISTS, nested queries, array and object literals, and the
// functions of its reference. What differs from the habits of SQL databases:
//
//   - A missing attribute is Undefined, and so is what does not convert. It is
//     no error: it leaves members out and makes conditions not true.
//   - AND and OR with an Undefined on either side are Undefined.
//   - Strings stand in single or double quotes; there are no comments.
//   - Numbers are decimals of 34 digits. 7 / 2 is 3, 7 / 2.5 is 2.8;
//     DecimalDivision makes the first 3.5.
//   - sensor/# does not match sensor.
//
// A statement that does not compile is a [*SyntaxError] with line, column, the
// line itself with a caret, what was expected, and the nearest known name.
// Functions that ask the outside, and functions of your own in Go, are
// [Funcs]; [Functions] documents all that there are. What payloads count as JSON, and what bounds the work for one
// message ([ErrLimit]), is told at [Query.Eval] and [CompileOptions].
//
// # Edits
//
// [Engine.Create], [Engine.Replace], [Engine.Put], [Engine.Enable],
// [Engine.Disable] and [Engine.Delete] check the rule, save it, and swap an
// immutable index for another. A message meets the rules of one moment: never
// two versions of a rule, nor none of a rule that is being replaced. Handle
// takes no lock for it and an edit does not wait for messages. What was
// acknowledged is in the store, the desired state included: a rule that was
// disabled is disabled after a restart.
//
// # Many rules
//
// Ten thousand rules cost what one costs, as far as a message does not concern
// them. Rules are found by topic, and among those with one filter by the
// conditions that WHERE begins with, if they have the form path op literal,
// joined by AND: an equality or IN by hashing, orderings by where their numbers
// begin and end. Put these first; what comes after a condition of another form
// is evaluated rule by rule, as is a statement with a SET clause. A message that
// concerns several rules is gone through once for all of them, and rules that
// differ in nothing but filter and those literals share one compiled statement
// and one output. A message that fires no rule allocates nothing.
//
// # Failures
//
// Each rule stands for itself: an error, or a panic, in its statement or its
// actions ends in its own [Ledger] and its own error action. The error action
// gets one [ErrorDocument] for a message however many actions failed. When a
// failure should keep the publisher from being told that its message arrived
// is explained at [Engine.Handle].
//
// A rule whose statement asks the outside, or calls a function of yours that is
// not Inline, is evaluated beside Handle: a function that is slow, or never
// returns, keeps neither the other rules nor the publisher waiting for more than
// Options.Patience, once. What the rule could not take counts as [ReasonSlow].
// One that never returns ends the wait of [Engine.Shutdown] with its context,
// and counts as [ReasonClosed]; [Engine.Close] waits for it.
//
// Actions run on the goroutine of the publisher. One that is slow queues the
// delivery, returns [ErrPending], and reports through [Firing.Done], or, from
// a durable queue, through [Engine.Settle], in a later process if need be. One
// that batches uses [DoneAll]: its error action gets a [BatchErrorDocument].
//
// # Guarantees and limits
//
// Delivery is at least once, in no order between rules or actions. Deliveries
// of one message have the same [Firing.ID] at each try if the message has a
// TraceID. The Ledger counts since Open and starts at zero in a new process.
// A document that waits for the last of several actions to report is lost in a
// crash before that; what the actions' own queues hold is not.
//
// Rules that publish to topics of rules are cut after Options.MaxHops hops: the
// count travels in the context of an action, see [Hops].
package rules
