// Package wire is the codec of MQTT 3.1.1 and 5.0 as a server needs it: it
// decodes what clients send and encodes what they get.
//
// Decoding happens in place: strings and payloads in a decoded packet are
// slices of the bytes given, valid as long as those are. Nothing is allocated
// for a PUBLISH. Every length is checked against the bytes that are there
// before it is used; what is wrong comes back as an [*Error] with the reason
// code that MQTT 5 has for it. Nothing here panics on input.
package wire
