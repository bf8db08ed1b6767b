package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/tidwall/gjson"
)

// The types that a key may have.
const (
	String = "STRING"
	Number = "NUMBER"
)

// An Attribute is a member of items that is a key of theirs.
type Attribute struct {
	Name string `json:"name"`
	Type string `json:"type"` // String or Number; empty means String
}

// A Schema says which members of a table's items are their keys, as tables of
// DynamoDB have it: an item is stored under the values it has there. Tables
// that are written with keys beside the item need none.
type Schema struct {
	HashKey  Attribute `json:"hashKey"`
	RangeKey Attribute `json:"rangeKey,omitzero"` // the sort key; zero is none
}

// String writes the schema as "thing (STRING), at (NUMBER)".
func (s Schema) String() string {
	text := s.HashKey.Name + " (" + s.HashKey.Type + ")"
	if s.RangeKey.Name != "" {
		text += ", " + s.RangeKey.Name + " (" + s.RangeKey.Type + ")"
	}
	return text
}

// check fills in types and refuses what cannot be.
func (s *Schema) check() error {
	if s.HashKey.Name == "" {
		return fmt.Errorf("%w schema: the hash key has no name", ErrInvalid)
	}
	if s.HashKey.Name == s.RangeKey.Name {
		return fmt.Errorf("%w schema: %q is both keys", ErrInvalid, s.HashKey.Name)
	}
	for _, a := range []*Attribute{&s.HashKey, &s.RangeKey} {
		switch {
		case a.Name == "" && a.Type != "":
			return fmt.Errorf("%w schema: a key has a type and no name", ErrInvalid)
		case len(a.Name) > MaxNameBytes:
			return fmt.Errorf("%w schema: name of a key: %d bytes, at most %d are allowed", ErrInvalid, len(a.Name), MaxNameBytes)
		case a.Name != "" && a.Type == "":
			a.Type = String
		case a.Name != "" && a.Type != String && a.Type != Number:
			return fmt.Errorf("%w schema: type %q of %q is neither STRING nor NUMBER", ErrInvalid, a.Type, a.Name)
		}
	}
	return nil
}

// schemas is the table that has the schemas of the others. Its name is none
// that check takes.
const schemas = "$schemas"

// CreateTable gives a table its schema, which it keeps until DeleteTable. With
// the same schema again it does nothing; with another one it is ErrExists.
func (t *Tables) CreateTable(ctx context.Context, table string, s Schema) error {
	if err := errors.Join(check(table, "any", ""), s.check()); err != nil {
		return err
	}
	if have, ok := t.known.Load(table); ok {
		return t.same(table, have.(Schema), s)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	have := s
	err = t.store.Update(ctx, schemas, table, "", func(old json.RawMessage) (json.RawMessage, error) {
		if old == nil {
			return text, nil
		}
		return old, json.Unmarshal(old, &have)
	})
	if err != nil {
		return fmt.Errorf("table %s: create: %w", table, err)
	}
	t.known.Store(table, have)
	return t.same(table, have, s)
}

func (t *Tables) same(table string, have, want Schema) error {
	if have != want {
		return fmt.Errorf("table %s: %w with the keys %v, not %v", table, ErrExists, have, want)
	}
	return nil
}

// Schema returns the schema of a table, or ErrNotFound.
func (t *Tables) Schema(ctx context.Context, table string) (Schema, error) {
	if err := check(table, "any", ""); err != nil {
		return Schema{}, err
	}
	if s, ok := t.known.Load(table); ok {
		return s.(Schema), nil
	}
	var s Schema
	text, err := t.store.Get(ctx, schemas, table, "")
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return Schema{}, fmt.Errorf("table %s: schema: %w", table, err)
	}
	t.known.Store(table, s)
	return s, nil
}

// Schemas yields the tables that have a schema, ordered by name.
func (t *Tables) Schemas(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for row, err := range t.store.Rows(ctx, schemas, Range{}) {
			if !yield(row.Key, err) {
				return
			}
		}
	}
}

// DeleteTable removes the rows of a table and then its schema. It is not one
// step: after an error, or a crash, rows may be left, and it is to be called
// again. What is written meanwhile may stay.
func (t *Tables) DeleteTable(ctx context.Context, table string) error {
	for row, err := range t.Scan(ctx, table) {
		if err == nil {
			err = t.store.Delete(ctx, table, row.Key, row.Sort)
		}
		if err != nil {
			return fmt.Errorf("table %s: delete: %w", table, err)
		}
	}
	if err := t.store.Delete(ctx, schemas, table, ""); err != nil {
		return fmt.Errorf("table %s: delete: %w", table, err)
	}
	t.known.Delete(table)
	return nil
}

// PutItem stores item, a JSON object, under the keys that it has by the schema
// of the table, replacing what was there. ErrNotFound says that the table has
// no schema; a key that is missing, empty or of another type is ErrInvalid.
func (t *Tables) PutItem(ctx context.Context, table string, item []byte) error {
	s, err := t.Schema(ctx, table)
	if err != nil {
		return err
	}
	if item, err = checkItem(item); err != nil {
		return err
	}
	var key, sort string
	if key, err = s.HashKey.of(item); err == nil && s.RangeKey.Name != "" {
		sort, err = s.RangeKey.of(item)
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", table, err)
	}
	return t.Put(ctx, table, key, sort, item)
}

// of is the value that an item has for the key, as rows are stored under it.
func (a Attribute) of(item []byte) (string, error) {
	var v gjson.Result
	gjson.ParseBytes(item).ForEach(func(name, value gjson.Result) bool {
		if name.String() == a.Name {
			v = value // the last one counts, as everywhere
		}
		return true
	})
	switch {
	case !v.Exists():
		return "", fmt.Errorf("%w item: the key %q is missing", ErrInvalid, a.Name)
	case a.Type == String && v.Type != gjson.String || a.Type == Number && v.Type != gjson.Number:
		return "", fmt.Errorf("%w item: the key %q is %.40s, not a %s", ErrInvalid, a.Name, v.Raw, a.Type)
	case a.Type == Number:
		return numberKey(v.Raw)
	case v.Str == "":
		return "", fmt.Errorf("%w item: the key %q is empty", ErrInvalid, a.Name)
	}
	return v.Str, nil
}
