// Package dynamicgroup keeps dynamic thing groups: the members of each are the things that its query finds in the fleet
// index.
//
//	groups, err := dynamicgroup.New(ctx, reg, index, nil)
//	...
//	go groups.Run(ctx)
//	g, err := groups.Create(ctx, registry.Group{Name: "low"}, "shadow.reported.battery<20")
//
// The index tells of changes by fleetindex.Options.Changed, which is to call [Service.Changed], and asks before it is switched
// off by fleetindex.Options.Allow, which is to call [Service.Allow].
//
// # Membership
//
// Whenever what the index knows of a thing changes, its registration, a shadow, its connectivity, all queries are asked about it
// anew; a thing that starts to match joins, one that stops leaves, each with a membership event. This takes a moment
// (Run does it), and after a crash Run asks about all members and all things that match.
//
// A thing is in ten groups at most. Static groups are never left for a dynamic one, older dynamic groups go before younger ones; what
// does not fit is logged.
//
// Queries do not see memberships in dynamic groups, so that groups cannot chase one another: thingGroupNames has static groups
// alone here. At AWS it is not said what happens.
package dynamicgroup
