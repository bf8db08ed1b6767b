package registry_test

import (
	"testing"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/registrytest"
)

func TestMemStore(t *testing.T) {
	registrytest.TestStore(t, func(*testing.T) registry.Store { return registry.NewMemStore() }, nil)
}
