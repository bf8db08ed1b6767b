package shadow

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Document is one shadow as stored and as served. Its JSON is compact and
// must not be modified: documents are shared between observers.
type Document struct {
	// Desired and Reported are JSON objects with at least one member, or nil.
	Desired, Reported json.RawMessage

	// Metadata is a JSON object with the members desired and reported, each
	// where that section is. Below it has the shape of the state, with
	// {"timestamp":seconds} in place of each scalar: when it was last written.
	Metadata json.RawMessage

	// Version is 1 for the first write, then one more each. 0 means no document.
	Version int64

	// Time is when the document was last written.
	Time time.Time

	// By is who wrote it, as WithPrincipal or Options.Principal told.
	By string

	// Deleted marks a tombstone: the shadow does not exist, but its version is
	// remembered. Only stores, histories and Change.After hold tombstones.
	Deleted bool
}

// sections is a document as trees; a section that is absent has no member.
type sections struct{ desired, reported node }

func (d Document) sections() (s sections, err error) {
	s.desired.kind, s.reported.kind = object, object
	read := func(raw json.RawMessage, into *node, what string) {
		if len(raw) == 0 || err != nil {
			return
		}
		n, _, bad := parse(string(raw))
		if bad != nil || n.kind != object && into != nil {
			err = fmt.Errorf("%w: %s: %v", ErrCorrupt, what, bad)
			return
		}
		*into = n
	}
	meta := node{kind: object}
	read(d.Desired, &s.desired, "desired")
	read(d.Reported, &s.reported, "reported")
	read(d.Metadata, &meta, "metadata")
	if m := meta.member("desired"); m != nil {
		s.desired.overlay(m)
	}
	if m := meta.member("reported"); m != nil {
		s.reported.overlay(m)
	}
	return s, err
}

// document is the inverse of sections.
func (s *sections) document() (d Document) {
	d.Metadata = written(func(meta []byte) []byte {
		meta = append(meta, '{')
		write := func(n *node, name string) json.RawMessage {
			if len(n.kids) == 0 {
				return nil
			}
			if meta[len(meta)-1] != '{' {
				meta = append(meta, ',')
			}
			meta = n.appendMeta(append(meta, name...))
			return n.json()
		}
		d.Desired = write(&s.desired, `"desired":`)
		d.Reported = write(&s.reported, `"reported":`)
		return append(meta, '}')
	})
	return d
}

// Size is what counts towards Limits.MaxBytes.
func (d Document) Size() int { return len(d.Desired) + len(d.Reported) }

// Exists reports whether there is a document and it is not a tombstone.
func (d Document) Exists() bool { return d.Version > 0 && !d.Deleted }
