package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Context is what variables and condition keys are answered from. It is
// not changed and may be shared. The zero value of a field is no value,
// except where said.
type Context struct {
	ClientID string // iot:ClientId
	SourceIP string // aws:SourceIp

	// Thing is the thing resolved for the connection. Without it no thing
	// variable has a value.
	Thing      string            // iot:Connection.Thing.ThingName
	ThingType  string            // iot:Connection.Thing.ThingTypeName
	Attributes map[string]string // iot:Connection.Thing.Attributes[name]
	// Attached is iot:Connection.Thing.IsAttached, which always has a value.
	Attached bool

	Certificate *Certificate // iot:Certificate...

	// ConnectAttributes is iot:ConnectAttributes.
	ConnectAttributes []string

	// Time is aws:CurrentTime and aws:EpochTime; zero is no value.
	Time time.Time
}

// A Certificate is what policies may ask about a certificate. Lists are in
// the order of the certificate; five values of each count.
type Certificate struct {
	ID           string // iot:CertificateId
	SerialNumber string // iot:Certificate.SerialNumber
	// Values by the name behind "iot:Certificate.", such as
	// "Subject.CommonName" or "Issuer.AlternativeName.DNSName".
	Values map[string][]string
	// Keys is iot:Certificate.AvailableKeys: the whole names of the
	// variables that have a value, sorted.
	Keys []string
}

// maxCertificateValues is how many values of one certificate attribute count.
const maxCertificateValues = 5

// A key names one variable or condition key.
type key struct {
	kind  keyKind
	name  string // attribute, or name within Certificate.Values
	index int    // which of several values; all for conditions
}

const allValues = -1

type keyKind uint8

const (
	unknownKey keyKind = iota
	clientID
	sourceIP
	thingName
	thingType
	thingAttribute
	thingAttached
	certificateID
	certificateSerial
	certificateKeys
	certificateValue
	connectAttributes
	currentTime
	epochTime
)

// parseKey reads a name. Names compare without case, those of attributes
// with it. What is unknown is a key that never has a value.
func parseKey(name string) key {
	switch strings.ToLower(name) {
	case "iot:clientid":
		return key{kind: clientID}
	case "aws:sourceip":
		return key{kind: sourceIP}
	case "iot:connection.thing.thingname":
		return key{kind: thingName}
	case "iot:connection.thing.thingtypename":
		return key{kind: thingType}
	case "iot:connection.thing.isattached":
		return key{kind: thingAttached}
	case "iot:certificateid":
		return key{kind: certificateID}
	case "iot:certificate.serialnumber":
		return key{kind: certificateSerial}
	case "iot:certificate.availablekeys":
		return key{kind: certificateKeys, index: allValues}
	case "iot:connectattributes":
		return key{kind: connectAttributes, index: allValues}
	case "aws:currenttime":
		return key{kind: currentTime}
	case "aws:epochtime":
		return key{kind: epochTime}
	}
	if rest, ok := cutPrefixFold(name, "iot:Connection.Thing.Attributes["); ok && strings.HasSuffix(rest, "]") {
		return key{kind: thingAttribute, name: rest[:len(rest)-1]}
	}
	rest, ok := cutPrefixFold(name, "iot:Certificate.")
	if !ok {
		return key{}
	}
	k := key{kind: certificateValue, name: rest}
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		if strings.EqualFold(rest[i+1:], "List") {
			k.name, k.index = rest[:i], allValues
		} else if n := rest[i+1:]; len(n) == 1 && n[0] >= '1' && n[0] <= '9' { // the plain name is the first
			k.name, k.index = rest[:i], int(n[0]-'0')
		}
	}
	if canonical, ok := certificateNames[strings.ToLower(k.name)]; ok {
		k.name = canonical
		return k
	}
	return key{}
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// certificateNames maps the lower-case names of certificate variables to
// their documented spelling. It is only read.
var certificateNames = func() map[string]string {
	m := map[string]string{}
	for _, side := range []string{"Subject", "Issuer"} {
		for _, name := range []string{"DistinguishedNameQualifier", "Country", "Organization", "OrganizationalUnit", "State",
			"CommonName", "SerialNumber", "Title", "Surname", "GivenName", "Initials", "Pseudonym", "GenerationQualifier",
			"AlternativeName.RFC822Name", "AlternativeName.DNSName", "AlternativeName.DirectoryName",
			"AlternativeName.UniformResourceIdentifier", "AlternativeName.IPAddress"} {
			m[strings.ToLower(side+"."+name)] = side + "." + name
		}
	}
	return m
}()

// single returns the one value of k.
func (c *Context) single(k *key) (string, bool) {
	switch k.kind {
	case clientID:
		return c.ClientID, c.ClientID != ""
	case sourceIP:
		return c.SourceIP, c.SourceIP != ""
	case thingName:
		return c.Thing, c.Thing != ""
	case thingType:
		return c.ThingType, c.Thing != "" && c.ThingType != ""
	case thingAttribute:
		if c.Thing == "" {
			return "", false
		}
		v, ok := c.Attributes[k.name]
		return v, ok
	case thingAttached:
		if c.Attached {
			return "true", true
		}
		return "false", true
	case currentTime:
		return c.Time.UTC().Format(time.RFC3339), !c.Time.IsZero()
	case epochTime:
		return strconv.FormatInt(c.Time.Unix(), 10), !c.Time.IsZero()
	}
	if c.Certificate == nil {
		return "", false
	}
	switch k.kind {
	case certificateID:
		return c.Certificate.ID, c.Certificate.ID != ""
	case certificateSerial:
		return c.Certificate.SerialNumber, c.Certificate.SerialNumber != ""
	case certificateValue:
		values := c.Certificate.Values[k.name]
		if k.index < 0 || k.index >= min(len(values), maxCertificateValues) {
			return "", false
		}
		return values[k.index], true
	}
	return "", false
}

// list returns the values of a key that has a set of them.
func (c *Context) list(k *key) []string {
	if k.kind == connectAttributes {
		return c.ConnectAttributes
	}
	if c.Certificate == nil {
		return nil
	}
	if k.kind == certificateKeys {
		return c.Certificate.Keys
	}
	values := c.Certificate.Values[k.name]
	return values[:min(len(values), maxCertificateValues)]
}

// maxSubstituted is the longest certificate value that is substituted, in characters.
const maxSubstituted = 1024

// substitute returns the value that stands for a variable.
func (c *Context) substitute(k *key) (string, bool) {
	if k.index == allValues {
		return "", false
	}
	v, ok := c.single(k)
	if ok && k.kind == certificateValue && (utf8.RuneCountInString(v) > maxSubstituted || strings.ContainsAny(v, "*$+?#")) {
		return "", false
	}
	return v, ok
}

// SetKeys fills Keys from the other fields.
func (c *Certificate) SetKeys() {
	c.Keys = nil
	for name, values := range c.Values {
		if len(values) > 0 {
			c.Keys = append(c.Keys, "iot:Certificate."+name)
		}
	}
	if c.SerialNumber != "" {
		c.Keys = append(c.Keys, "iot:Certificate.SerialNumber")
	}
	slices.Sort(c.Keys)
}
