package policy

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/thingloom/thingloom/internal/vectors"
)

func TestVectorsPolicy(t *testing.T) {
	vectors.Run(t, "policy", nil, func(v vectors.Vector) error {
		var in struct {
			Policies  []json.RawMessage
			Principal struct {
				ClientID, ThingName, ThingTypeName, SourceIP string
				Attributes                                   map[string]string
				IsAttached                                   bool
				ConnectAttributes                            []string
				Certificate                                  *struct {
					CertificateID, SerialNumber string
					Subject, Issuer             map[string][]string
				}
			}
			Action, Resource, Want string
		}
		if err := json.Unmarshal(v.Raw, &in); err != nil {
			return err
		}
		var policies []Policy
		for i, text := range in.Policies {
			doc, err := Parse(text)
			if err != nil {
				return err
			}
			policies = append(policies, Policy{Name: fmt.Sprint(i), Doc: doc})
		}
		p := in.Principal
		c := &Context{ClientID: p.ClientID, SourceIP: p.SourceIP, Thing: p.ThingName, ThingType: p.ThingTypeName,
			Attributes: p.Attributes, Attached: p.IsAttached, ConnectAttributes: p.ConnectAttributes}
		if p.Certificate != nil {
			c.Certificate = &Certificate{ID: p.Certificate.CertificateID, SerialNumber: p.Certificate.SerialNumber,
				Values: map[string][]string{}}
			for k, list := range p.Certificate.Subject {
				c.Certificate.Values["Subject."+k] = list
			}
			for k, list := range p.Certificate.Issuer {
				c.Certificate.Values["Issuer."+k] = list
			}
			c.Certificate.SetKeys()
		}
		d := NewSet(policies...).Decide(&Request{Action: in.Action, Resource: in.Resource, Context: c})
		got := "deny"
		if d.Effect == Allow {
			got = "allow"
		}
		if got != in.Want {
			return fmt.Errorf("got %s (%+v), want %s", got, d, in.Want)
		}
		return nil
	})
}
