// Package shadowdevice is the device's side of a shadow: it keeps what a device
// does in step with what its shadow desires, over a paho.golang client and any
// backend that has the reserved topics of AWS IoT.
//
//	type Lamp struct {
//		On    bool `json:"on"`
//		Level int  `json:"level"`
//	}
//	lamp, err := shadowdevice.New(shadow.Ref{Thing: "lamp-7"}, func(ctx context.Context, want Lamp, _ json.RawMessage) (Lamp, error) {
//		return drive(want) // what the lamp is now
//	}, nil)
//	config := autopaho.ClientConfig{...}
//	lamp.Attach(&config)
//	connection, err := autopaho.NewConnection(ctx, config)
//	err = lamp.Run(ctx, connection) // blocks
//
// # What Run does
//
// On each connection, the first and those after it, it subscribes, asks for the
// document and works off the delta in it; from then on the deltas that are
// published. For each the application's Apply is called, and what that returns is
// written to reported, as a patch of what differs. What the device itself finds
// out it tells with Set or Report; states of the same device that follow one
// another quickly are written as one. Update changes desired and reported by
// optimistic locking, for devices with knobs.
//
// # Guarantees
//
// No desired change is lost: what was published without a connection is in the
// document that the next one asks for, and an Apply that fails is called again.
// Of several desired changes the last one counts; Apply need not see those before it.
// Apply may see one twice, at least after a new connection, so it has to be of
// the kind that may be done twice. It is never called twice at a time.
//
// A delta with a version that was already seen is dropped. A shadow that was
// deleted and counts anew is noticed and asked for. Answers are told apart from
// those of others by client tokens. A request without an answer is sent again;
// what became of the first one is asked for before the next write.
//
// What others write to reported is found when the document is next asked for:
// on a new connection, and every Options.Refresh.
//
// A delta that remains after the device has reported, because it cannot do what
// is desired, is not applied again until it changes.
//
// # Bounds
//
// Of deltas the newest is kept and nothing else, so a slow Apply costs no memory.
// Callbacks of the client do no work and never block.
package shadowdevice
