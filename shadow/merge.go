package shadow

import (
	"encoding/json"
	"fmt"
	"time"
)

// Merge returns doc after the update request patch at the time now, under the
// limits of AWS. doc may be the zero Document, for a shadow that is created.
//
//	doc    {"desired":{"on":true,"rgb":[1,2]}}
//	patch  {"state":{"desired":{"on":null,"speed":3}}}
//	    -> {"desired":{"rgb":[1,2],"speed":3}}, version one higher
//
// In a section, null deletes a member, objects are merged and everything else
// replaces what was there, arrays as a whole. A section that is null, or that
// loses its last member, is removed; a null state removes both. An object
// whose members are all null adds nothing, while {} is stored as it is.
//
// Errors are *RequestError (see ParseRequest), with ErrVersionConflict where the
// patch names another version and ErrTooLarge where the result is too large.
func Merge(doc Document, patch []byte, now time.Time) (Document, error) {
	r, err := ParseRequest(patch, Limits{})
	if err != nil {
		return Document{}, err
	}
	return r.Apply(doc, now)
}

// Apply is Merge for a request that is already parsed. It leaves r as it was.
func (r *Request) Apply(doc Document, now time.Time) (Document, error) {
	next, _, err := r.apply(doc, now)
	return next, err
}

// apply also returns the trees, for the delta.
func (r *Request) apply(doc Document, now time.Time) (next Document, s sections, err error) {
	if r.Locked && (doc.Version != r.Version || !doc.Exists()) {
		e := refuse(ErrVersionConflict, "Version conflict")
		e.Detail = fmt.Sprintf("version %d named, version %d stored", r.Version, doc.Version)
		e.ClientToken = r.ClientToken
		return next, s, e
	}
	if s, err = doc.sections(); err != nil {
		return next, s, err
	}
	t := now.Unix()
	if r.state.kind == null {
		s = sections{node{kind: object}, node{kind: object}}
	}
	for i := range r.state.kids {
		k := &r.state.kids[i]
		into := &s.desired
		if k.key == `"reported"` {
			into = &s.reported
		}
		if k.kind == null {
			*into = node{kind: object}
			continue
		}
		merge(into, k, t)
	}
	next = s.document()
	next.Version, next.Time = doc.Version+1, now
	if next.Size() > r.limits.MaxBytes {
		e := refuse(ErrTooLarge, "The payload exceeds the maximum size allowed")
		e.Detail = fmt.Sprintf("the document would have %d bytes, %d allowed", next.Size(), r.limits.MaxBytes)
		e.ClientToken = r.ClientToken
		return Document{}, s, e
	}
	return next, s, nil
}

// merge puts the members of the object patch into the object dst. It shares
// nothing with patch that it or a later merge writes to.
func merge(dst, patch *node, now int64) {
	f := finder{n: &node{kids: dst.kids}} // members added below are not searched for: names in patch are distinct
	holes := false
	for i := range patch.kids {
		p := &patch.kids[i]
		j := f.find(p.key, i)
		switch {
		case p.kind == null:
			if j >= 0 {
				dst.kids[j].kind, holes = gone, true
			}
		case p.kind == object && j >= 0 && dst.kids[j].kind == object:
			merge(&dst.kids[j], p, now)
		default:
			v, ok := fresh(p, now)
			switch {
			case !ok:
			case j >= 0:
				dst.kids[j] = v
			default:
				dst.kids = append(dst.kids, v)
			}
		}
	}
	if !holes {
		return
	}
	kept := dst.kids[:0]
	for _, k := range dst.kids {
		if k.kind != gone {
			kept = append(kept, k)
		}
	}
	dst.kids = kept
}

// fresh is a copy of p, written now, without the nulls in its objects. It is
// not ok if that takes the last member of an object that had some.
func fresh(p *node, now int64) (v node, ok bool) {
	v = *p
	v.time, v.kids = now, nil
	if len(p.kids) > 0 {
		v.kids = make([]node, 0, len(p.kids))
	}
	for i := range p.kids {
		if p.kids[i].kind == null {
			continue
		}
		if k, ok := fresh(&p.kids[i], now); ok || p.kind == array {
			v.kids = append(v.kids, k)
		}
	}
	return v, len(v.kids) > 0 || len(p.kids) == 0
}

// Delta returns what desired asks for and reported lacks or differs in, as a
// JSON object, or nil if they agree. Arrays are compared whole, numbers by
// value. Keys that only reported has are not part of it.
//
//	desired  {"on":true,"rgb":[1,2,3]}
//	reported {"on":true,"rgb":[1,2,4]}  ->  {"rgb":[1,2,3]}
//
// Both are JSON objects or empty; the error is ErrCorrupt where they are not.
func Delta(desired, reported json.RawMessage) (json.RawMessage, error) {
	s, err := Document{Desired: desired, Reported: reported}.sections()
	if err != nil {
		return nil, err
	}
	d, _ := s.delta()
	return d, nil
}

// delta is the delta and its metadata, or nil twice.
func (s *sections) delta() (state, metadata json.RawMessage) {
	d := difference(&s.desired, &s.reported, false)
	if len(d.kids) == 0 {
		return nil, nil
	}
	return d.json(), d.metadata()
}

// difference returns the members of the object d that the object r lacks or
// has otherwise; with removed also null for each that r alone has.
func difference(d, r *node, removed bool) node {
	out := node{key: d.key, kind: object}
	f := finder{n: r}
	for i := range d.kids {
		want := &d.kids[i]
		j := f.find(want.key, i)
		switch {
		case j < 0:
			out.kids = append(out.kids, *want)
		case want.kind == object && r.kids[j].kind == object:
			if below := difference(want, &r.kids[j], removed); len(below.kids) > 0 {
				out.kids = append(out.kids, below)
			}
		case !equal(want, &r.kids[j]):
			out.kids = append(out.kids, *want)
		}
	}
	if removed {
		f = finder{n: d}
		for i := range r.kids {
			if key := r.kids[i].key; f.find(key, i) < 0 {
				out.kids = append(out.kids, node{key: key, kind: null, text: "null"})
			}
		}
	}
	return out
}

// Patch returns the object that merged into from gives to: members that differ
// as to has them, null for those that from alone has. It is nil if the two
// agree. from may be nil, as {}. Errors are ErrInvalidRequest: a text that is no
// JSON object.
//
//	from {"on":true,"rgb":[1,2],"mode":"x"}
//	to   {"on":true,"rgb":[1,3]}             ->  {"rgb":[1,3],"mode":null}
func Patch(from, to json.RawMessage) (json.RawMessage, error) {
	trees := [2]node{{kind: object}, {kind: object}}
	for i, text := range [2]json.RawMessage{from, to} {
		if i == 0 && text == nil {
			continue
		}
		tree, err := parseObject(text, Limits{MaxRequestBytes: -1}.filled())
		if err != nil {
			return nil, err
		}
		trees[i] = *tree
	}
	return patchOf(&trees[0], &trees[1]), nil
}

// patchOf is Patch of objects.
func patchOf(from, to *node) json.RawMessage {
	p := difference(to, from, true)
	if len(p.kids) == 0 {
		return nil
	}
	return p.json()
}
