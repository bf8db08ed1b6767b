package fleetindex

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// A document is stored as parts: a byte that says what it is, the length of what follows as a varint, and that. So what is
// not asked for is not read, and shadows are never parsed only to be copied.
const (
	partThing        = 'T' // JSON
	partShadow       = 'S' // length of the name as a varint, name, document
	partDefender     = 'D'
	partConnectivity = 'C' // JSON
)

var errDocument = errors.New("a document that cannot be read")

func (k *Known) encode() ([]byte, error) {
	var out []byte
	part := func(kind byte, of ...[]byte) {
		n := 0
		for _, b := range of {
			n += len(b)
		}
		out = binary.AppendUvarint(append(out, kind), uint64(n))
		for _, b := range of {
			out = append(out, b...)
		}
	}
	if k.Thing != nil {
		text, err := json.Marshal(k.Thing)
		if err != nil {
			return nil, err
		}
		part(partThing, text)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Shadows)) {
		part(partShadow, binary.AppendUvarint(nil, uint64(len(name))), []byte(name), k.Shadows[name])
	}
	if k.Defender != nil {
		part(partDefender, k.Defender)
	}
	if k.Connectivity != nil {
		text, err := json.Marshal(k.Connectivity)
		if err != nil {
			return nil, err
		}
		part(partConnectivity, text)
	}
	return out, nil
}

// decode takes parts of data for itself.
func (k *Known) decode(data []byte) error {
	for len(data) > 0 {
		kind := data[0]
		part, rest, ok := taken(data[1:])
		if !ok {
			return errDocument
		}
		data = rest
		var err error
		switch kind {
		case partThing:
			err = json.Unmarshal(part, &k.Thing)
		case partShadow:
			name, doc, ok := taken(part)
			if !ok {
				return errDocument
			}
			if k.Shadows == nil {
				k.Shadows = map[string]json.RawMessage{}
			}
			k.Shadows[string(name)] = json.RawMessage(doc)
		case partDefender:
			k.Defender = json.RawMessage(part)
		case partConnectivity:
			err = json.Unmarshal(part, &k.Connectivity)
		default:
			err = errDocument
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// taken is what has its length before it.
func taken(data []byte) (part, rest []byte, ok bool) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return data[size:end:end], data[end:], true
}
