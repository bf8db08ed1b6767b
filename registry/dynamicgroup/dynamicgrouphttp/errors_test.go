package dynamicgrouphttp

import (
	"fmt"
	"testing"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/sentinels"
	"github.com/thingloom/thingloom/registry/dynamicgroup"
)

func TestEverySentinelHasAnAnswer(t *testing.T) {
	known := map[string]error{"ErrQuery": dynamicgroup.ErrQuery, "ErrOff": dynamicgroup.ErrOff, "ErrNeeded": dynamicgroup.ErrNeeded}
	sentinels.Check(t, "..", known, func(name string, err error) {
		if status, _ := awshttp.Classify(errorRows, fmt.Errorf("wrapped: %w", err)); status >= 500 {
			t.Errorf("%s has no row", name)
		}
	})
}
