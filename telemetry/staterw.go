package telemetry

import (
	"fmt"

	"github.com/thingloom/thingloom/internal/record"
)

// A stateReader reads a checkpoint's state.
type stateReader struct{ record.Reader }

func newStateReader(state []byte) *stateReader { return &stateReader{record.NewReader(state)} }

// end is the fault of the state as an error.
func (r *stateReader) end() error {
	if f := r.End(); f != nil {
		return fmt.Errorf("%w: %w", ErrState, f)
	}
	return nil
}
