package provisionhttp

import (
	"fmt"
	"testing"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/sentinels"
	"github.com/thingloom/thingloom/registry/provision"
)

func TestEverySentinelHasAnAnswer(t *testing.T) {
	known := map[string]error{"ErrTemplate": provision.ErrTemplate, "ErrConflict": provision.ErrConflict, "ErrDenied": provision.ErrDenied, "ErrToken": provision.ErrToken, "ErrDisabled": provision.ErrDisabled, "ErrInvalid": provision.ErrInvalid, "ErrNotFound": provision.ErrNotFound, "ErrExists": provision.ErrExists, "ErrVersions": provision.ErrVersions, "ErrInUse": provision.ErrInUse}
	sentinels.Check(t, "..", known, func(name string, err error) {
		if status, _ := awshttp.Classify(errorRows, fmt.Errorf("wrapped: %w", err)); status >= 500 {
			t.Errorf("%s has no row", name)
		}
	})
}
