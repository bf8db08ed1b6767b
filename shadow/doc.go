// Package shadow keeps the desired and the reported state of things in one
// document each, and tells what differs: the device shadows of AWS IoT.
//
//	svc, err := shadow.New(shadow.NewMemStore(), nil)
//	change, err := svc.Update(ctx, shadow.Ref{Thing: "lamp-7"}, []byte(`{"state":{"desired":{"on":true}}}`))
//	// change.Delta is {"on":true} until the device reports it
//
// # Documents
//
// An app writes what it wants into desired, a device what is so into reported,
// each by a patch that is merged: a member that is null is removed, objects are
// merged member by member, everything else is replaced whole, arrays too. What
// desired has and reported lacks or differs in is the delta. Every accepted
// update takes the next version; metadata keeps for each scalar when it was last
// written. A thing has one classic shadow and any number of named ones.
//
// Merge and Delta are the whole of that as pure functions. A Service loads,
// merges, saves with compare-and-swap and tells its observers, in commit order
// for one shadow. What an update needs beyond that is in its Change, ready
// for the wire: Accepted, DeltaMessage, Documents.
//
// For gives a typed view of one shadow: Get and an optimistic Update in a Go
// type. Watch waits for a condition. History, At and AtTime show what was,
// Revisions who changed which field.
//
// # Endpoints and stores
//
// shadowmqtt answers the reserved topics over any broker, shadowhttp the AWS
// data plane over HTTP; both are views of one Service and do not know each
// other. shadowpebble is the durable store, NewMemStore the one that forgets,
// for programs on devices.
//
// # Guarantees
//
// When Update returns, the change is as durable as the store makes it, and all
// observers have seen it. A request that is refused changed nothing. Deleting a
// shadow keeps its version for Options.VersionMemory, so that a shadow made
// again does not repeat a version that a device has seen. Documents are at most
// 8 KiB and 8 levels deep unless Limits say otherwise.
package shadow
