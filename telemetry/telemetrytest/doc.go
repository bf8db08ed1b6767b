// Package telemetrytest tells implementations of telemetry.Log and
// telemetry.Checkpoints what these interfaces mean.
//
//	func TestLog(t *testing.T) {
//		telemetrytest.TestLog(t, func(t *testing.T) telemetry.Log { return open(t) }, nil)
//	}
//
// Each case opens a store of its own. A failure prints the rule that was
// broken.
package telemetrytest
