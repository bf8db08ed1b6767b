// Package registrytest checks implementations of registry.Store.
//
//	func TestStore(t *testing.T) {
//		registrytest.TestStore(t, func(t *testing.T) registry.Store { return open(t) }, nil)
//	}
package registrytest
