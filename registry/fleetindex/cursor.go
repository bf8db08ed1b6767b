package fleetindex

import (
	"context"
	"fmt"
	"slices"

	"github.com/thingloom/thingloom/registry"
)

// A cursor walks names in their order.
type cursor interface {
	// seek moves to the first name that is not before the given one, which is not empty and does not go back from call to
	// call. It returns an empty name at the end.
	seek(ctx context.Context, name string) (string, error)
}

// A keys walks keys that are a prefix and a name: of all things, or the entries of one value.
type keys struct {
	space  *space
	prefix string
	roles  role     // of which an entry has one; none is any
	page   []string // names that were read and not passed
	seeks  int      // that the page has answered
	size   int      // of the page, one of pages
	end    bool     // nothing comes behind page
}

// pages are how many names are read at once: the fewest where a page answers one question only, as beside a condition
// that is much rarer, the most where it answers many.
var pages = [...]int{16, 80, 336}

func (k *keys) seek(ctx context.Context, name string) (string, error) {
	i, _ := slices.BinarySearch(k.page, name)
	if k.page = k.page[i:]; len(k.page) == 0 && !k.end {
		if err := k.read(ctx, name); err != nil {
			return "", err
		}
	}
	k.seeks++
	if len(k.page) == 0 {
		return "", nil
	}
	return k.page[0], nil
}

// read reads a page of names from one on.
func (k *keys) read(ctx context.Context, name string) error {
	switch {
	case k.seeks == 0: // the first page
		k.size = 1
	case k.seeks == 1:
		k.size = max(k.size-1, 0)
	default:
		k.size = min(k.size+1, len(pages)-1)
	}
	k.page, k.seeks = k.page[:0], 0
	for e, err := range k.space.Scan(ctx, k.prefix, k.prefix+before(name)) {
		if err != nil {
			return fmt.Errorf("fleetindex: search: %w", err)
		}
		if at := e.Key[len(k.prefix):]; at >= name && in(e, k.roles) {
			k.page = append(k.page, at)
		}
		if len(k.page) == pages[k.size] {
			return nil
		}
	}
	k.end = true
	return nil
}

// in reports whether an entry has one of some roles.
func in(e registry.Entry, roles role) bool {
	return roles == 0 || len(e.Value) > 0 && role(e.Value[0])&roles != 0
}

// before is a text with no name between it and the given one: names are UTF-8.
func before(name string) string {
	last := len(name) - 1
	if name[last] == 0 { // as next makes them
		return name[:last]
	}
	return name[:last] + string([]byte{name[last] - 1, 0xff})
}

// next is the first name that could come behind one.
func next(name string) string { return name + "\x00" }

// A set walks names that are in memory, in order.
type set []string

func (s *set) seek(_ context.Context, name string) (string, error) {
	i, _ := slices.BinarySearch(*s, name)
	if *s = (*s)[i:]; len(*s) == 0 {
		return "", nil
	}
	return (*s)[0], nil
}

// A union walks the names of any.
type union []*member

// A member is one of a union, with the name at which it stands.
type member struct {
	cursor
	at    string
	begun bool
}

func newUnion(of []cursor) cursor {
	if len(of) == 1 {
		return of[0]
	}
	u := make(union, len(of))
	for i, c := range of {
		u[i] = &member{cursor: c}
	}
	return u
}

func (u union) seek(ctx context.Context, name string) (first string, err error) {
	for _, one := range u {
		if !one.begun || one.at != "" && one.at < name {
			if one.at, err = one.cursor.seek(ctx, name); err != nil {
				return "", err
			}
			one.begun = true
		}
		if one.at != "" && (first == "" || one.at < first) {
			first = one.at
		}
	}
	return first, nil
}

// An intersection walks the names of all.
type intersection []cursor

func (s intersection) seek(ctx context.Context, name string) (string, error) {
	for agreed := 0; ; {
		for _, c := range s {
			at, err := c.seek(ctx, name)
			if err != nil || at == "" {
				return "", err
			}
			if at != name {
				name, agreed = at, 0
			}
			if agreed++; agreed == len(s) {
				return name, nil
			}
		}
	}
}

// A difference walks the names of one that another does not have.
type difference struct{ of, without cursor }

func (d difference) seek(ctx context.Context, name string) (string, error) {
	for {
		at, err := d.of.seek(ctx, name)
		if err != nil || at == "" {
			return "", err
		}
		not, err := d.without.seek(ctx, at)
		if err != nil || not != at {
			return at, err
		}
		name = next(at)
	}
}
