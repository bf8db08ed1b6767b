package fleetindex

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/thingloom/thingloom/registry/fleet"
)

// A FieldType is the type of the values of a field that are aggregated: others are ignored.
type FieldType string

// The types. Attributes are texts, and numbers or Booleans too where they read as such.
const (
	Number  FieldType = "Number"
	String  FieldType = "String"
	Boolean FieldType = "Boolean"
)

// A Field is a field of the query language that can be aggregated.
type Field struct {
	Name string    `json:"name"`
	Type FieldType `json:"type"`
}

// MaxCustomFields and MaxNamedShadows bound a Config.
const MaxCustomFields, MaxNamedShadows = 5, 10

// ErrAggregation reports a field that is neither managed nor one of Config.CustomFields (InvalidAggregationException).
var ErrAggregation = errors.New("fleetindex: invalid aggregation")

// A managedField is one that can be aggregated without being named in the Config.
type managedField struct {
	Field
	on func(c *Config) bool
}

var managed = []managedField{
	{Field{"thingId", String}, things}, {Field{"thingName", String}, things},
	{Field{"registry.version", Number}, things}, {Field{"registry.thingTypeName", String}, things}, {Field{"registry.thingGroupNames", String}, things},
	{Field{"shadow.version", Number}, shadows}, {Field{"shadow.hasDelta", Boolean}, shadows},
	{Field{"connectivity.connected", Boolean}, connectivity}, {Field{"connectivity.timestamp", Number}, connectivity},
	{Field{"connectivity.version", Number}, connectivity}, {Field{"connectivity.disconnectReason", String}, connectivity},
	{Field{"deviceDefender.violationCount", Number}, violations},
	{Field{"shadow.name.*.version", Number}, named}, {Field{"shadow.name.*.hasDelta", Boolean}, named},
}

func things(c *Config) bool       { return c.Things }
func shadows(c *Config) bool      { return c.Shadows }
func connectivity(c *Config) bool { return c.Connectivity }
func violations(c *Config) bool   { return c.Defender }
func named(c *Config) bool        { return c.NamedShadows }

// ManagedFields are those that can be aggregated without being named, with * for the name of a shadow.
func (c Config) ManagedFields() []Field {
	fields := []Field{}
	for _, m := range managed {
		if m.on(&c) {
			fields = append(fields, m.Field)
		}
	}
	return fields
}

// field is an aggregation field of the index.
func (c Config) field(name string) (Field, error) {
	if i := slices.IndexFunc(c.CustomFields, func(f Field) bool { return f.Name == name }); i >= 0 {
		return c.CustomFields[i], nil
	}
	pattern := name
	if rest, ok := strings.CutPrefix(name, "shadow.name."); ok {
		if shadow, leaf, ok := strings.Cut(rest, "."); ok && shadow != "" {
			pattern = "shadow.name.*." + leaf
		}
	}
	for _, m := range managed {
		// Types and groups are asked for with and without the prefix.
		if (m.Name == pattern || m.Name == "registry."+pattern && pattern != "version") && m.on(&c) {
			return Field{name, m.Type}, nil
		}
	}
	return Field{}, fmt.Errorf("%w: %q is neither a managed nor a custom field", ErrAggregation, name)
}

// custom reports whether a field can be one of Config.CustomFields.
func (f Field) custom() bool {
	if f.Type != Number && f.Type != String && f.Type != Boolean {
		return false
	}
	for _, head := range []string{"attributes.", "shadow.desired.", "shadow.reported.", "deviceDefender."} {
		if rest, ok := strings.CutPrefix(f.Name, head); ok {
			return rest != ""
		}
	}
	if rest, ok := strings.CutPrefix(f.Name, "shadow.name."); ok {
		parts := strings.SplitN(rest, ".", 3)
		return len(parts) == 3 && parts[0] != "" && (parts[1] == "desired" || parts[1] == "reported") && parts[2] != ""
	}
	return false
}

// values are those of a thing that have the type of the field.
func (f Field) values(h *Hit) (values []fleet.Value) {
	for _, v := range f.all(h) {
		if f.Type == Number && v.Numeric || f.Type == Boolean && v.Boolean || f.Type == String && v.String {
			values = append(values, v)
		}
	}
	return values
}

func (f Field) all(h *Hit) []fleet.Value {
	shadow, _ := strings.CutSuffix(f.Name, ".version")
	switch {
	case f.Name == DefaultField:
		return []fleet.Value{fleet.NumberValue(float64(h.Version))}
	case f.Name == "shadow.version":
		return version(gjson.GetBytes(h.Shadow, "version"))
	case shadow != f.Name && strings.HasPrefix(f.Name, "shadow.name.") && strings.Count(f.Name, ".") == 3:
		return version(gjson.GetBytes(h.Shadow, "name").Get(gjson.Escape(strings.TrimPrefix(shadow, "shadow.name.")) + ".version"))
	}
	return h.Values(strings.TrimPrefix(f.Name, "registry."))
}

// version is that of a shadow, which queries do not see.
func version(v gjson.Result) []fleet.Value {
	if v.Type != gjson.Number {
		return nil
	}
	return []fleet.Value{fleet.NumberValue(v.Num)}
}
