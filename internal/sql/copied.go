package sql

import "unsafe"

// A Copy is what a statement selects that does no more than pick paths of the
// payload, with nothing left of WHERE behind the Preds: a Scan has found it
// all, and it is copied without an evaluation. It is made in place, and not to
// be copied itself: what it consists of lies side by side, since of a hundred
// statements that a message meets none is in the first cache of the processor.
type Copy struct {
	parts []copyPart
	text  string // their keys, one after the other: ,"key":
	few   [4]copyPart
	room  [32]byte
}

type copyPart struct {
	end  int32 // of the key in text
	slot int32 // in a Scan
}

// Copy makes c that of s, if there is one; slots is what Paths.With gave.
func (s *Statement) Copy(c *Copy, slots []int32) {
	b := s.body
	if len(b.set) > 0 || b.where != nil || b.proj == nil || !b.proj.flat || b.proj.overlay {
		return
	}
	parts, text := c.few[:0], c.room[:0]
	for _, it := range b.proj.items {
		if it.code.slot < 0 {
			return
		}
		text = append(append(text, ','), it.key...)
		parts = append(parts, copyPart{int32(len(text)), slots[it.code.slot]})
	}
	c.parts, c.text = parts, unsafe.String(unsafe.SliceData(text), len(text)) // nobody writes to text again
}

// AppendTo appends what SELECT makes, the Preds holding, and the same as an
// evaluation. It is not ok if that is needed: c is none, or some number is to be
// brought into another form.
func (c *Copy) AppendTo(b []byte, s *Scan) (_ []byte, ok bool) {
	if len(c.parts) == 0 {
		return b, false
	}
	start, from := len(b), int32(0)
	for _, p := range c.parts {
		key := c.text[from:p.end]
		from = p.end
		raw := s.find.slots[p.slot]
		switch {
		case raw == "":
			continue
		case (raw[0] == '-' || isDigit(raw[0])) && !asWritten(raw):
			return b, false
		}
		b = append(append(b, key...), raw...)
	}
	if len(b) == start {
		b = append(b, '{')
	} else {
		b[start] = '{' // in place of the comma
	}
	return append(b, '}'), true
}
