package shadow

import (
	"encoding/json"
	"time"
)

// A Change is what one committed write did.
type Change struct {
	Ref Ref

	// Before is the zero Document for the update that creates the shadow;
	// After is a tombstone for a delete.
	Before, After Document

	// Delta is nil when desired and reported agree. DeltaMetadata is the part of
	// the desired metadata that belongs to it.
	Delta, DeltaMetadata json.RawMessage

	// State is the state of the request as it came, nulls included, and
	// Metadata its mirror with the time of the change. Nil for a delete.
	State, Metadata json.RawMessage

	// ClientToken is the token of the request, where it had one.
	ClientToken string
	hasToken    bool
}

// newChange describes an update. s are the trees of after.
func newChange(ref Ref, before, after Document, s *sections, r *Request) Change {
	c := Change{Ref: ref, Before: before, After: after, ClientToken: r.ClientToken, hasToken: r.HasToken}
	c.Delta, c.DeltaMetadata = s.delta()
	state := r.state
	state.stamp(after.Time.Unix())
	c.State, c.Metadata = state.json(), state.metadata()
	return c
}

// Accepted is the answer to the caller, the payload of update/accepted or of
// delete/accepted:
//
//	{"state":{"desired":{"on":true}},"metadata":{...},"version":2,"timestamp":1700000000,"clientToken":"a"}
//	{"version":2,"timestamp":1700000000}
//
// A delete names the version that was deleted.
func (c Change) Accepted() []byte {
	if c.After.Deleted {
		b := appendInt([]byte{'{'}, `"version":`, c.Before.Version)
		return c.tail(b)
	}
	b := appendRaw(c.begin(len(c.State)+len(c.Metadata)), `"state":`, c.State)
	b = appendRaw(b, `,"metadata":`, c.Metadata)
	b = appendInt(b, `,"version":`, c.After.Version)
	return c.tail(b)
}

// DeltaMessage is the payload of update/delta, or nil where none is due:
//
//	{"version":2,"timestamp":1700000000,"state":{"on":true},"metadata":{"on":{"timestamp":1700000000}}}
func (c Change) DeltaMessage() []byte {
	if c.Delta == nil {
		return nil
	}
	b := appendInt(c.begin(len(c.Delta)+len(c.DeltaMetadata)), `"version":`, c.After.Version)
	b = appendInt(b, `,"timestamp":`, c.After.Time.Unix())
	b = appendRaw(b, `,"state":`, c.Delta)
	b = appendRaw(b, `,"metadata":`, c.DeltaMetadata)
	return c.appendToken(b)
}

// Documents is the payload of update/documents, or nil for a delete:
//
//	{"previous":{"state":{...},"metadata":{...},"version":1},"current":{...},"timestamp":1700000000}
//
// The update that creates the shadow has no previous.
func (c Change) Documents() []byte {
	if c.After.Deleted {
		return nil
	}
	b := c.begin(c.Before.Size() + len(c.Before.Metadata) + c.After.Size() + len(c.After.Metadata) + 128)
	if c.Before.Version > 0 {
		b = append(c.Before.appendBody(append(b, `"previous":{`...), nil), `},`...)
	}
	b = append(c.After.appendBody(append(b, `"current":{`...), nil), '}')
	return c.tail(b)
}

// begin begins a payload with room for texts of n bytes and what is around them.
func (c Change) begin(n int) []byte {
	return append(make([]byte, 0, n+len(c.ClientToken)+128), '{')
}

// tail ends a payload with timestamp and token.
func (c Change) tail(b []byte) []byte {
	return c.appendToken(appendInt(b, `,"timestamp":`, c.After.Time.Unix()))
}

func (c Change) appendToken(b []byte) []byte { return endToken(b, c.ClientToken, c.hasToken) }

// Answer is the answer to a get at the time now, the payload of get/accepted:
//
//	{"state":{"desired":{...},"reported":{...},"delta":{...}},"metadata":{...},"version":2,"timestamp":1700000000}
//
// Sections and delta are there where they are not empty. clientToken is left out
// where it is empty.
func (d Document) Answer(now time.Time, clientToken string) ([]byte, error) {
	delta, err := Delta(d.Desired, d.Reported)
	if err != nil {
		return nil, err
	}
	b := d.appendBody([]byte{'{'}, delta)
	b = appendInt(b, `,"timestamp":`, now.Unix())
	return endToken(b, clientToken, clientToken != ""), nil
}

// appendBody appends state, metadata and version.
func (d Document) appendBody(b []byte, delta json.RawMessage) []byte {
	b = append(b, `"state":{`...)
	n := len(b)
	member := func(name string, raw json.RawMessage) {
		if raw == nil {
			return
		}
		if len(b) > n {
			b = append(b, ',')
		}
		b = appendRaw(b, name, raw)
	}
	member(`"desired":`, d.Desired)
	member(`"reported":`, d.Reported)
	member(`"delta":`, delta)
	b = append(b, '}')
	meta := d.Metadata
	if meta == nil {
		meta = json.RawMessage("{}")
	}
	b = appendRaw(b, `,"metadata":`, meta)
	return appendInt(b, `,"version":`, d.Version)
}

// Rejected is the payload of a rejected message for err at the time now:
//
//	{"code":409,"message":"Version conflict","timestamp":1700000000,"clientToken":"a"}
func Rejected(err error, now time.Time) []byte { return RejectedToken(err, now, tokenOf(err)) }

// RejectedToken is Rejected with the client token of a get or delete, which
// the error does not know. Empty is none.
func RejectedToken(err error, now time.Time, clientToken string) []byte {
	code, message := Code(err)
	b := appendInt([]byte{'{'}, `"code":`, int64(code))
	b = append(append(b, `,"message":`...), quote(message)...)
	b = appendInt(b, `,"timestamp":`, now.Unix())
	return endToken(b, clientToken, clientToken != "")
}
