// Package model holds the broker against a small model of MQTT. It has no code of its own, only tests.
//
// A schedule is a list of steps, made from a seed: clients of both versions, with sessions that persist and others,
// connect with wills and without, take over, subscribe, share, publish at each QoS, retain, stop to read or to acknowledge, and
// go in each way there is; the broker is restarted, or its
// power is cut at the nth write of its database, torn writes included. A schedule runs in virtual time, over net.Pipe, on a
// pebble database in a crashable file system. The clients (client_test.go) speak MQTT by a codec of their own and tell the
// model (world_test.go) what they see. The model knows for each message when it was on its way and whether it was
// acknowledged, and for each subscription when it may have held and when it must have. From that follows what has to
// come, how often, in which order, and what must not. A will (lastwill_test.go) is a message that is on its way from when its
// client has gone, and must be out once its delay is over; what is retained (retained_test.go) is looked at in the end.
//
// An ordinary run plays 2,000 schedules, which takes about 40 seconds of one core.
//
//	THINGLOOM_SCHEDULES=5000 go test ./broker/internal/model            so many schedules
//	THINGLOOM_SEED=123 THINGLOOM_SCHEDULES=1 go test ./broker/internal/model   this one
//
// A schedule that fails is cut down to few steps that still fail, and printed with its seed and what the clients saw. Goroutines are
// not scheduled by the seed: a rare failure may need several runs of it.
package model
