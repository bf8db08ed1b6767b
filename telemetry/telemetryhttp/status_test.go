package telemetryhttp

import (
	"errors"
	"fmt"
	"testing"

	"github.com/thingloom/thingloom/telemetry"
)

func TestStatusOfEverySentinel(t *testing.T) {
	for err, want := range map[error]int{
		telemetry.ErrClosed: 500, telemetry.ErrInvalidRecord: 500, telemetry.ErrInvalidName: 400, telemetry.ErrPartition: 500,
		telemetry.ErrBusy: 500, telemetry.ErrState: 500, telemetry.ErrNotPartitioned: 500, telemetry.ErrLate: 500,
		telemetry.ErrAhead: 500, telemetry.ErrTooManyWindows: 500, telemetry.ErrNotFound: 404, telemetry.ErrSlow: 500,
		telemetry.ErrTooManySubscribers: 503, errLimit: 400, errors.New("disk"): 500,
	} {
		if got := statusOf(fmt.Errorf("x: %w", err)); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
