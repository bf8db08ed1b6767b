package brokertest_test

import (
	"testing"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokertest"
)

// A package with a store of its own calls the suite from its tests.
func ExampleTestStore() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		brokertest.TestStore(t, func(*testing.T) broker.Store { return broker.NewMemStore() }, nil)
	}
	// Output:
}
