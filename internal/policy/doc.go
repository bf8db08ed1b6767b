// Package policy reads and decides AWS IoT policy documents, purely: no
// store, no clock, no network.
//
//	doc, err := policy.Parse(text)                       // once
//	set := policy.NewSet(policy.Policy{Name: "p", Doc: doc})
//	d := set.Decide(&policy.Request{                     // often
//		Action:   "iot:Publish",
//		Resource: "arn:aws:iot:us-east-1:123456789012:topic/a/b",
//		Context:  &policy.Context{ClientID: "lamp-7"},
//	})
//
// # Decision
//
// A statement applies if its action and its resource match and all of its
// conditions hold. An applying Deny denies, else an applying Allow allows,
// else the request is denied implicitly. The Decision names the statement.
//
// # Choices
//
// What the public documents leave open is settled so:
//
//   - A resource with a variable that has no value matches nothing. With
//     NotResource the statement then applies if it denies, and does not if it
//     allows: the safe side both times.
//   - Substituted characters are literal, also '*' and '?'.
//   - A condition value with a variable that has no value equals nothing.
//   - Operators without ForAllValues or ForAnyValue pass if one value of the
//     key does; the negated ones if none is equal.
//   - Documents older than version 2012-10-17 know no variables; a "${" in
//     one is an error and not silently literal.
//   - A backslash before one of , " \ + = < > ; in a value that is compared
//     with a certificate attribute is dropped.
//
// # Cost
//
// Matching takes time proportional to the product of the lengths of pattern
// and text at most, whatever the number of wildcards, and allocates nothing.
package policy
