package defender

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// run yields for each resource of a check a finding, or an empty one if it is as
// it should be.
func (s *Service) run(ctx context.Context, check string) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		switch check {
		case PolicyPermissive:
			for p, err := range s.reg.Policies(ctx, "") {
				v, _ := p.Version(p.Default)
				f := Finding{}
				if why := permissive(v.Document); err == nil && why != "" {
					f = Finding{Type: "IOT_POLICY", Resource: p.Name, Version: v.ID, Reason: why, Code: "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS"}
				}
				if !yield(f, err) || err != nil {
					return
				}
			}
		case CertificateShared, ClientsConflicting:
			shared, conflicts := s.live.found()
			if check == ClientsConflicting {
				for _, id := range conflicts {
					if !yield(Finding{Type: "CLIENT_ID", Resource: id, Reason: "Several clients connected under the same client ID.", Code: "DUPLICATE_CLIENT_ID_ACROSS_CONNECTIONS"}, nil) {
						return
					}
				}
				return
			}
			for _, principal := range slices.Sorted(maps.Keys(shared)) {
				if !yield(Finding{Type: "DEVICE_CERTIFICATE", Resource: principal, Related: shared[principal],
					Reason: "The certificate was used by several connections at once.", Code: "CERTIFICATE_SHARED_BY_MULTIPLE_DEVICES"}, nil) {
					return
				}
			}
		case CertificateKey, CertificateExpiring:
			for c, err := range s.reg.Certificates(ctx, registry.CertificateQuery{}) {
				if err == nil && c.Status != registry.StatusActive {
					continue
				}
				if !yield(s.certificate(check, "DEVICE_CERTIFICATE", c.ID, c.PEM, c.NotAfter), err) || err != nil {
					return
				}
			}
		case CAKey, CAExpiring:
			for c, err := range s.reg.CACertificates(ctx, "") {
				if err == nil && c.Status != registry.StatusActive {
					continue
				}
				if !yield(s.certificate(check, "CA_CERTIFICATE", c.ID, c.PEM, c.NotAfter), err) || err != nil {
					return
				}
			}
		}
	}
}

// certificate is a check of one certificate.
func (s *Service) certificate(check, kind, id, text string, end time.Time) Finding {
	f := Finding{Type: kind, Resource: id}
	if check == CertificateExpiring || check == CAExpiring {
		now := s.opts.Now()
		if end.After(now.Add(s.opts.Expiring)) {
			return Finding{}
		}
		f.Reason, f.Code = "The certificate expires at "+end.UTC().Format(time.RFC3339)+".", "CERTIFICATE_APPROACHING_EXPIRATION"
		if !end.After(now) {
			f.Code = "CERTIFICATE_PAST_EXPIRATION"
		}
		return f
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return Finding{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Finding{}
	}
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			f.Reason, f.Code = fmt.Sprintf("The RSA key has %d bits.", key.N.BitLen()), "CERTIFICATE_KEY_VULNERABILITY_OTHER"
			return f
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			f.Reason, f.Code = fmt.Sprintf("The key is of a curve of %d bits.", key.Curve.Params().BitSize), "CERTIFICATE_KEY_VULNERABILITY_OTHER"
			return f
		}
	}
	if cert.SignatureAlgorithm == x509.SHA1WithRSA || cert.SignatureAlgorithm == x509.ECDSAWithSHA1 {
		f.Reason, f.Code = "The certificate is signed by SHA-1.", "CERTIFICATE_KEY_VULNERABILITY_OTHER"
		return f
	}
	return Finding{}
}

// texts is one text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	var all []string
	err := json.Unmarshal(b, &all)
	*t = all
	return err
}

type policyStatement struct {
	Effect           string
	Action, Resource texts
	NotAction        texts
	NotResource      texts
}

// permissive says why a policy allows more than one device needs; empty if it
// does not. That is so for an Allow of an action of the data plane on all
// resources of its kind: everything, all topics, all clients, whatever
// variables are not asked. Conditions are not looked at.
func permissive(document string) string {
	var d struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &d) != nil {
		return "" // the registry does not keep such
	}
	var all []policyStatement
	if json.Unmarshal(d.Statement, &all) != nil {
		all = make([]policyStatement, 1)
		if json.Unmarshal(d.Statement, &all[0]) != nil {
			return ""
		}
	}
	for i, st := range all {
		if st.Effect != "Allow" {
			continue
		}
		if len(st.NotAction) > 0 || len(st.NotResource) > 0 {
			return fmt.Sprintf("Statement %d allows all but what it names.", i)
		}
		for _, action := range st.Action {
			for _, resource := range st.Resource {
				if broadAction(action) && broadResource(resource) {
					return fmt.Sprintf("Statement %d allows %s on %s.", i, action, resource)
				}
			}
		}
	}
	return ""
}

func broadAction(action string) bool {
	a := strings.ToLower(action)
	return a == "*" || strings.HasPrefix(a, "iot:") && (strings.HasSuffix(a, "*") ||
		slices.Contains([]string{"iot:connect", "iot:publish", "iot:subscribe", "iot:receive", "iot:retainpublish",
			"iot:getthingshadow", "iot:updatethingshadow", "iot:deletethingshadow"}, a))
}

func broadResource(resource string) bool {
	if resource == "*" {
		return true
	}
	parts := strings.SplitN(resource, ":", 6) // arn:aws:iot:region:account:kind/name
	if len(parts) < 6 {
		return strings.Trim(resource, "*") == ""
	}
	if parts[5] == "*" {
		return true
	}
	_, name, _ := strings.Cut(parts[5], "/")
	return name != "" && strings.Trim(name, "*#/+") == ""
}
