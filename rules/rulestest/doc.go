// Package rulestest helps to test rules, and stores of rules.
//
// [Run] checks one rule against a table of messages:
//
//	rulestest.Run(t, rules.Rule{Name: "hot", SQL: "SELECT t FROM 'sensors/+' WHERE t > 30"}, []rulestest.Case{
//		{Name: "a hot one", Topic: "sensors/s1", Payload: `{"t": 31}`, Want: `{"t": 31}`},
//		{Name: "a cold one", Topic: "sensors/s1", Payload: `{"t": 3}`},
//	}, nil)
//
// [Replay] offers a capture of messages to two sets of rules and says what
// would be sent more, less or differently; examples/rule-replay is a program
// around it.
//
// [TestStore] is the conformance suite for implementations of rules.Store.
package rulestest
