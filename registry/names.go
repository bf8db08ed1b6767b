package registry

import (
	"fmt"
	"strings"
)

// Limits of the registry. They are those of AWS.
const (
	maxName               = 128
	maxAttributesUntyped  = 3
	maxAttributes         = 50
	maxAttributeValue     = 800
	maxAttributeBytes     = 47 << 10
	maxDescription        = 2028
	maxSearchable         = 3
	maxPropagating        = 20
	maxGroupsPerThing     = 10
	maxGroupDepth         = 7
	maxChildren           = 100
	maxPoliciesPerTarget  = 10
	maxPoliciesPerGroup   = 2
	maxPolicyVersions     = 5
	maxPolicyCharacters   = 2048
	maxPolicyBytes        = 64 << 10 // with white space
	maxCASubjects         = 10
	maxPrincipalNameBytes = 1024
)

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// checkChars checks that s has 1 to limit bytes, letters, digits or in more.
func checkChars(field, s, more string, limit int) error {
	if s == "" {
		return invalid(field, "is empty")
	}
	if len(s) > limit {
		return invalid(field, "has %d characters, more than %d", len(s), limit)
	}
	for i, c := range s {
		if c > 0x7f || !isAlnum(byte(c)) && strings.IndexByte(more, byte(c)) < 0 {
			return invalid(field, "%q has %q at position %d; letters, digits and any of %s may be used", s, c, i, more)
		}
	}
	return nil
}

// checkName checks the name of a thing, thing type, thing group or billing group.
func checkName(field, s string) error { return checkChars(field, s, "_:-", maxName) }

func checkPolicyName(s string) error { return checkChars("policyName", s, "_+=,.@-", maxName) }

const (
	attributeNameChars  = "_.,@/:#-"
	attributeValueChars = "_.,@/:#=[]-"
)

// checkAttributes checks the attributes of a thing or group.
func checkAttributes(attrs map[string]string, limit int) error {
	if len(attrs) > limit {
		hint := ""
		if limit == maxAttributesUntyped {
			hint = " without a thing type"
		}
		return invalid("attributes", "has %d entries, more than %d%s", len(attrs), limit, hint)
	}
	total := 0
	for name, value := range attrs {
		if err := checkChars("attribute name", name, attributeNameChars, maxName); err != nil {
			return err
		}
		if value != "" {
			if err := checkChars("value of attribute "+name, value, attributeValueChars, maxAttributeValue); err != nil {
				return err
			}
		}
		total += len(name) + len(value)
	}
	if total > maxAttributeBytes {
		return invalid("attributes", "have %d bytes, more than %d", total, maxAttributeBytes)
	}
	return nil
}

// mergeAttributes returns old with the changes: replaced, or with merge added
// to, where an empty value removes.
func mergeAttributes(old, changes map[string]string, merge bool) map[string]string {
	out := map[string]string{}
	if merge {
		for k, v := range old {
			out[k] = v
		}
	}
	for k, v := range changes {
		if v == "" && merge {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func notFound(kind, name string) error {
	return fmt.Errorf("registry: %s %q: %w", kind, name, ErrNotFound)
}

func conflict(kind, name string, have, want int64) error {
	return fmt.Errorf("registry: %s %q is at version %d, not %d: %w", kind, name, have, want, ErrVersionConflict)
}
