// Package cbor translates between CBOR (RFC 8949) and JSON, for the reserved
// topics that take both. JSON is what the rest of Thingloom works on; so what
// CBOR has beyond it is written as JSON can say it: byte strings as base64,
// tags as what they enclose, undefined as null.
package cbor
