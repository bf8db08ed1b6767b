package registry

import "strings"

// The key space. Names of things, types, groups and policies have no '/', so
// it separates; principals and attribute texts are escaped.
//
//	t/{thing}                  Thing
//	y/{type}                   ThingType
//	g/{group}                  Group
//	b/{billing group}          BillingGroup
//	x/{group}                  a deleted group whose members are being released
//	c/{certificate}            Certificate
//	ca/{certificate}           CACertificate
//	p/{policy}                 policy with all of its versions
//	ap/{target}                names of the policies attached to the target
//	tp/{thing}/{principal}     attachment
//	px/{principal}             the thing that the principal is tied to exclusively
//	e                          which events are on
//	et                         EventTimes
//	r                          the registration code
//	az/{authorizer}            Authorizer
//	ad                         the name of the default authorizer
//	ra/{role alias}            RoleAlias
//
// and indexes, whose value is empty unless said:
//
//	ty/{type}/{thing}          things of a type
//	ta/{name}/{value}/{thing}  things by attribute
//	tb/{billing group}/{thing} things by billing group
//	gm/{group}/{thing}         members of a group; the id of the membership
//	gc/{group}/{child}         direct children of a group
//	pt/{principal}/{thing}     things of a principal; the attachment
//	at/{policy}/{target}       targets of a policy
//	cc/{ca}/{certificate}      certificates by the CA that signed them
//	cs/{subject hash}/{ca}     CA certificates by subject
//	gd                         names of the dynamic groups, the oldest first
const (
	keyThing, keyType, keyGroup        = "t/", "y/", "g/"
	keyBillingGroup                    = "b/"
	keyReleased                        = "x/"
	keyCert, keyCA, keyPolicy          = "c/", "ca/", "p/"
	keyAttached                        = "ap/"
	keyThingPrincipal                  = "tp/"
	keyExclusive                       = "px/"
	keyEvents, keyRegistration         = "e", "r"
	keyEventTimes                      = "et"
	keyAuthorizer, keyDefaultAuth      = "az/", "ad"
	keyRoleAlias                       = "ra/"
	keyByType, keyByAttr, keyByBilling = "ty/", "ta/", "tb/"
	keyMember, keyChild                = "gm/", "gc/"
	keyPrincipalThing                  = "pt/"
	keyTarget                          = "at/"
	keyByCA, keyBySubject              = "cc/", "cs/"
)

const hexDigits = "0123456789ABCDEF"

// escape writes the bytes '/' and '%' and what is not printable ASCII as %XX.
// It keeps prefixes: the escape of a prefix is a prefix of the escape.
func escape(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = !escaped(s[i])
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; escaped(c) {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func escaped(c byte) bool { return c == '/' || c == '%' || c <= ' ' || c >= 0x7f }

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			b.WriteByte(byte(strings.IndexByte(hexDigits, s[i+1])<<4 | strings.IndexByte(hexDigits, s[i+2])))
			i += 2
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
