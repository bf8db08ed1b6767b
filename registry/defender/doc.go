// Package defender watches what things do and says when it is not normal: the
// Device Defender of AWS IoT, Detect and Audit.
//
//	svc, err := defender.Open(ctx, store, reg, nil)
//	go svc.Run(ctx)
//
//	_, err = svc.CreateProfile(ctx, defender.Profile{Name: "quiet", Behaviors: []defender.Behavior{{
//		Name: "few-messages", Metric: "aws:num-messages-sent",
//		Criteria: &defender.Criteria{Operator: "less-than", Value: &defender.Value{Count: &limit}, Seconds: 300}}}})
//	err = svc.Attach(ctx, "quiet", reg.ARN("all/things"))
//
//	svc.Record(defender.Observation{Kind: defender.Sent, Thing: "lamp-7", Topic: "t", Bytes: 12}) // for each message
//
// # Detect
//
// A profile has behaviors, each of which states what is normal of a metric. A
// broker's hooks tell of messages, connections and refusals by Record; devices
// report on themselves (defendermqtt, Report). A data point that does not
// satisfy the criteria is bad; so many bad ones in a row begin a violation, so
// many good ones end it, and a change of the profile or a long silence
// invalidates it. Each of that is an event: stored, listed, and told to
// observers with a topic and a payload, so that rules can use it.
//
// Time is divided into slots of five minutes. Cloud metrics are judged by Run
// when a slot ends that is the last of the duration: sums for the numbers of
// messages, refusals and connections, the largest for aws:message-byte-size,
// seconds since the connection ended for aws:disconnect-duration. Device
// metrics are judged with each report, network counters as sums over the
// duration. Things are judged that were seen within a day. A statistical
// threshold is that percentile of the values of all things which the profile
// speaks of, as of the slot before; ML criteria are refused.
//
// # Audit
//
// Audit, and scheduled audits by Run, look for policies that allow too much or
// hardly do what they mean, certificates that several connections use at once,
// that expire, are old or have weak keys, and client IDs in conflict, and where
// Options has the sources, for certificates that their issuers revoked, for
// logging that is off and role aliases that may do too much. Who is connected is
// what Record was told since Open, of the last 31 days.
//
// # Storage and limits
//
// Configuration, active violations, events, retained metric values and audits
// are in a registry.Store; the layout is in service.go. Observations are in
// memory, of Options.MaxThings things, and are lost in a restart; what is beyond
// is counted in Stats.Dropped. A violation is stored before it is told.
package defender
