package shadow

import "strings"

// A Ref names one shadow. Name is empty for the classic shadow of the thing.
//
// Thing is 1 to 128 characters of a-z, A-Z, 0-9, colon, underscore and hyphen.
// Name is at most 64 of the same, and may begin with $ for the shadows that
// are kept for the backend itself.
type Ref struct{ Thing, Name string }

// String is "thing" for a classic shadow and "thing/name" for a named one.
func (r Ref) String() string {
	if r.Name == "" {
		return r.Thing
	}
	return r.Thing + "/" + r.Name
}

// Check returns nil, or an error that is ErrInvalidName.
func (r Ref) Check() error {
	if err := CheckThing(r.Thing); err != nil {
		return err
	}
	if len(r.Name) > 64 || !legal(strings.TrimPrefix(r.Name, "$")) || r.Name == "$" {
		return refuse(ErrInvalidName, "Invalid shadow name")
	}
	return nil
}

// CheckThing returns nil, or an error that is ErrInvalidName.
func CheckThing(name string) error {
	if name == "" || len(name) > 128 || !legal(name) {
		return refuse(ErrInvalidName, "Invalid thing name")
	}
	return nil
}

// reserved reports whether the name is kept for the backend itself.
func (r Ref) reserved() bool { return strings.HasPrefix(r.Name, "$") }

func legal(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ':', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
