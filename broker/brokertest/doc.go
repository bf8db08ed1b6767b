// Package brokertest tells whether a [broker.Store] does what the broker
// relies on.
//
// A store calls it from a test of its own:
//
//	func TestStore(t *testing.T) {
//		brokertest.TestStore(t, func(t *testing.T) broker.Store { return open(t) }, nil)
//	}
//
// Every case is a subtest with a store of its own, so open must give a new and
// empty one each time; what needs closing belongs into t.Cleanup. A case that
// fails prints the rule that it checks. The cases quote the comments of
// [broker.SessionStore] and [broker.RetainedStore]; where those and a case seem
// to differ, the case is wrong.
//
// What survives a power cut is for the store's own tests: only it knows how to
// cut its power.
package brokertest
