package fleetindexhttp

import (
	"fmt"
	"testing"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/sentinels"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

func TestEverySentinelHasAnAnswer(t *testing.T) {
	known := map[string]error{"ErrNotReady": fleetindex.ErrNotReady, "ErrOff": fleetindex.ErrOff, "ErrInvalid": fleetindex.ErrInvalid, "ErrAggregation": fleetindex.ErrAggregation}
	sentinels.Check(t, "..", known, func(name string, err error) {
		if status, _ := awshttp.Classify(errorRows, fmt.Errorf("wrapped: %w", err)); status >= 500 {
			t.Errorf("%s has no row", name)
		}
	})
}
