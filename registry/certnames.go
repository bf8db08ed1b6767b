package registry

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/thingloom/thingloom/internal/policy"
)

// nameAttributes are the attributes of distinguished names that policies
// know, by object identifier (X.520, RFC 3739).
var nameAttributes = map[string]string{
	"2.5.4.46": "DistinguishedNameQualifier", "2.5.4.6": "Country", "2.5.4.10": "Organization", "2.5.4.11": "OrganizationalUnit",
	"2.5.4.8": "State", "2.5.4.3": "CommonName", "2.5.4.5": "SerialNumber", "2.5.4.12": "Title", "2.5.4.4": "Surname",
	"2.5.4.42": "GivenName", "2.5.4.43": "Initials", "2.5.4.65": "Pseudonym", "2.5.4.44": "GenerationQualifier",
}

// addName adds the attributes of a distinguished name, in its order.
func addName(to map[string][]string, prefix string, name pkix.Name) {
	for _, a := range name.Names {
		if known, ok := nameAttributes[a.Type.String()]; ok {
			to[prefix+known] = append(to[prefix+known], fmt.Sprint(a.Value))
		}
	}
}

// Tags of GeneralName (RFC 5280, 4.2.1.6) that crypto/x509 does not give.
const tagDirectoryName = 4

var (
	subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	issuerAltName  = asn1.ObjectIdentifier{2, 5, 29, 18}
)

// addAlternatives adds the alternative names of subject and issuer. What
// cannot be read has no value.
func addAlternatives(to map[string][]string, c *x509.Certificate) {
	for _, ext := range c.Extensions {
		switch {
		case ext.Id.Equal(subjectAltName):
			addGeneralNames(to, "Subject.AlternativeName.", ext.Value)
		case ext.Id.Equal(issuerAltName):
			addGeneralNames(to, "Issuer.AlternativeName.", ext.Value)
		}
	}
}

func addGeneralNames(to map[string][]string, prefix string, der []byte) {
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 || seq.Tag != asn1.TagSequence {
		return
	}
	for rest := seq.Bytes; len(rest) > 0; {
		var v asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return
		}
		if v.Class != asn1.ClassContextSpecific {
			continue
		}
		var name, text string
		switch v.Tag {
		case 1:
			name, text = "RFC822Name", string(v.Bytes)
		case 2:
			name, text = "DNSName", string(v.Bytes)
		case tagDirectoryName:
			var rdn pkix.RDNSequence
			if _, err := asn1.Unmarshal(v.Bytes, &rdn); err != nil {
				continue
			}
			name, text = "DirectoryName", rdn.String()
		case 6:
			name, text = "UniformResourceIdentifier", string(v.Bytes)
		case 7:
			name, text = "IPAddress", ipText(v.Bytes)
		}
		if text != "" {
			to[prefix+name] = append(to[prefix+name], text)
		}
	}
}

// certificateContext takes from a certificate what policies may ask about.
func certificateContext(id string, c *x509.Certificate) *policy.Certificate {
	out := &policy.Certificate{ID: id, SerialNumber: c.SerialNumber.Text(16), Values: map[string][]string{}}
	addName(out.Values, "Subject.", c.Subject)
	addName(out.Values, "Issuer.", c.Issuer)
	addAlternatives(out.Values, c)
	out.SetKeys()
	return out
}
