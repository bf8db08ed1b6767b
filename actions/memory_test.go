package actions_test

import (
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
)

func TestMemory(t *testing.T) {
	actionstest.TestQueues(t, func(*testing.T) actionstest.Backend {
		return actionstest.Backend{Queues: actions.NewMemory()}
	})
}
