package provision

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A Session is who asks for provisioning: a connection with a claim
// certificate. New certificates are bound to it until they are provisioned.
type Session struct {
	Principal string // certificate ID of the claim
	ClientID  string
}

// A Hook decides about the provisioning of one device.
type Hook func(ctx context.Context, r HookRequest) (HookResponse, error)

// A HookRequest is what a hook gets; its JSON is that of the AWS contract.
type HookRequest struct {
	Target             string            `json:"-"` // targetArn of the template's hook
	ClaimCertificateID string            `json:"claimCertificateId"`
	CertificateID      string            `json:"certificateId"`
	CertificatePEM     string            `json:"certificatePem"`
	TemplateARN        string            `json:"templateArn"`
	ClientID           string            `json:"clientId"`
	Parameters         map[string]string `json:"parameters"`
}

// A HookResponse is its decision.
type HookResponse struct {
	Allow     bool              `json:"allowProvisioning"`
	Overrides map[string]string `json:"parameterOverrides"`
}

// An owner is a certificate that waits for its provisioning.
type owner struct {
	Certificate string `json:"certificate"`
	Session     Session
	Used        bool `json:"used,omitempty"` // provisioned: the certificate stays
}

// An Issued certificate, and the token that RegisterThing asks for.
type Issued struct {
	Certificate registry.Certificate
	Keys        registry.KeyPair // zero for one of a CSR
	Token       string
}

// CreateKeys makes a key pair and a certificate that is pending activation.
func (s *Service) CreateKeys(ctx context.Context, by Session) (Issued, error) {
	cert, keys, err := s.reg.CreateKeysAndCertificate(ctx, &registry.KeyOptions{Status: registry.StatusPendingActivation})
	if err != nil {
		return Issued{}, err
	}
	return s.own(ctx, by, cert, keys)
}

// CreateFromCSR makes a certificate that is pending activation for a CSR.
func (s *Service) CreateFromCSR(ctx context.Context, by Session, csrPEM string) (Issued, error) {
	cert, err := s.reg.CreateCertificateFromCSR(ctx, []byte(csrPEM), registry.StatusPendingActivation)
	if err != nil {
		return Issued{}, err
	}
	return s.own(ctx, by, cert, registry.KeyPair{})
}

// own stores the token of a new certificate.
func (s *Service) own(ctx context.Context, by Session, cert registry.Certificate, keys registry.KeyPair) (Issued, error) {
	// A token carries its expiry, which finds its key in the store.
	var secret [32]byte
	rand.Read(secret[:])
	expiry := s.opts.Now().Add(s.opts.TokenTTL).Unix()
	token := strconv.FormatInt(expiry, 10) + "." + base64.RawURLEncoding.EncodeToString(secret[:])
	value, err := json.Marshal(owner{Certificate: cert.ID, Session: by})
	if err == nil {
		err = s.store.Apply(ctx, registry.Op{Kind: registry.Put, Key: ownerKey(expiry, token), Value: value, Prev: 0})
	}
	if err != nil {
		return Issued{}, errors.Join(err, s.discard(context.WithoutCancel(ctx), cert.ID))
	}
	return Issued{cert, keys, token}, nil
}

func ownerKey(expiry int64, token string) string {
	sum := sha256.Sum256([]byte(token))
	return fmt.Sprintf("%s%010d/%s", keyOwner, expiry, hex.EncodeToString(sum[:]))
}

// owner finds what a token stands for. Everything wrong with it is one error:
// who guesses learns nothing.
func (s *Service) owner(ctx context.Context, by Session, token string) (o owner, key string, version int64, err error) {
	digits, _, _ := strings.Cut(token, ".")
	expiry, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || s.opts.Now().Unix() >= expiry {
		return o, "", 0, ErrToken
	}
	key = ownerKey(expiry, token)
	e, err := s.store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return o, "", 0, ErrToken
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &o)
	}
	if err == nil && o.Session != by {
		err = ErrToken
	}
	return o, key, e.Version, err
}

// Provision applies the default version of a template to the certificate that
// the token stands for. A device that did not get the answer may ask again with
// the same token while that is valid. Errors are ErrToken, ErrNotFound,
// ErrDisabled, ErrDenied, ErrTemplate, ErrConflict, and those of the registry.
func (s *Service) Provision(ctx context.Context, by Session, name, token string, params map[string]string) (Result, error) {
	o, key, version, err := s.owner(ctx, by, token)
	if err != nil {
		return Result{}, err
	}
	stored, err := s.Template(ctx, name)
	if err != nil {
		return Result{}, err
	}
	if !stored.Enabled {
		return Result{}, fmt.Errorf("%w: %s", ErrDisabled, name)
	}
	if stored.Type != FleetProvisioning {
		return Result{}, fmt.Errorf("%w: template %s is of type %s", ErrInvalid, name, stored.Type)
	}
	v, err := stored.Version(0)
	if err != nil {
		return Result{}, err
	}
	t, err := s.template(v.Body)
	if err != nil {
		return Result{}, err
	}
	cert, err := s.reg.Certificate(ctx, o.Certificate)
	if err != nil {
		return Result{}, err
	}
	given := map[string]string{}
	for name, value := range params {
		if strings.HasPrefix(name, builtIn) {
			return Result{}, invalidTemplate("Parameters."+name, "is not the device's to give")
		}
		given[name] = value
	}
	if stored.Hook != "" {
		if err := s.ask(ctx, by, &stored, cert, given); err != nil {
			return Result{}, err
		}
	}
	given["AWS::IoT::Certificate::Id"] = o.Certificate
	plan, err := t.Resolve(given)
	if err != nil {
		return Result{}, err
	}
	if plan.Certificate != nil && plan.Certificate.ID != o.Certificate {
		return Result{}, invalidTemplate("CertificateId", "is not that of the token: use {\"Ref\": \"AWS::IoT::Certificate::Id\"}")
	}
	// The mark comes first: from here on the sweep leaves the certificate alone.
	if !o.Used {
		o.Used = true
		value, err := json.Marshal(o)
		if err != nil {
			return Result{}, err
		}
		err = s.store.Apply(ctx, registry.Op{Kind: registry.Put, Key: key, Value: value, Prev: version})
		if errors.Is(err, registry.ErrVersionConflict) {
			return Result{}, ErrToken // expired, or provisioned, at this very moment
		}
		if err != nil {
			return Result{}, err
		}
	}
	return s.Apply(ctx, plan)
}

// ask asks the hook, and puts its overrides into params.
func (s *Service) ask(ctx context.Context, by Session, t *StoredTemplate, cert registry.Certificate, params map[string]string) error {
	if s.opts.Hook == nil {
		return fmt.Errorf("%w: template %s names a hook and there is none", ErrDenied, t.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.HookTimeout)
	defer cancel()
	type answer struct {
		response HookResponse
		err      error
	}
	answers := make(chan answer, 1) // a hook that ignores ctx does not hold us up
	given := make(map[string]string, len(params))
	for name, value := range params {
		given[name] = value
	}
	go func() {
		defer func() {
			if v := recover(); v != nil {
				answers <- answer{err: fmt.Errorf("panic: %v", v)}
			}
		}()
		response, err := s.opts.Hook(ctx, HookRequest{Target: t.Hook, ClaimCertificateID: by.Principal, CertificateID: cert.ID,
			CertificatePEM: cert.PEM, TemplateARN: s.ARN(t.Name), ClientID: by.ClientID, Parameters: given})
		answers <- answer{response, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return fmt.Errorf("%w: %w", ErrDenied, a.err)
		}
		if !a.response.Allow {
			return ErrDenied
		}
		for name, value := range a.response.Overrides {
			params[name] = value
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrDenied, ctx.Err())
	}
}

// Sweep deletes what has expired: certificates that were never provisioned,
// and claim certificates. Run calls it.
func (s *Service) Sweep(ctx context.Context) error {
	now := fmt.Sprintf("%010d", s.opts.Now().Unix())
	var errs []error
	for _, kind := range []string{keyOwner, keyClaim} {
		for e, err := range s.store.Scan(ctx, kind, "") {
			if err != nil {
				return errors.Join(append(errs, err)...)
			}
			expiry, _, _ := strings.Cut(strings.TrimPrefix(e.Key, kind), "/")
			if expiry >= now {
				break // in order: the others are younger
			}
			if err := s.expire(ctx, kind, e); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// expire deletes the certificate of an entry, unless it was provisioned, and
// then the entry.
func (s *Service) expire(ctx context.Context, kind string, e registry.Entry) error {
	id := lastPart(e.Key)
	keep := false
	if kind == keyOwner {
		var o owner
		if err := json.Unmarshal(e.Value, &o); err != nil {
			return fmt.Errorf("provision: key %q: %w", e.Key, err)
		}
		id, keep = o.Certificate, o.Used
	}
	if !keep {
		// Before the entry: after a crash between the two the next sweep finds it.
		if err := s.discard(ctx, id); err != nil {
			return err
		}
	}
	err := s.store.Apply(ctx, registry.Op{Kind: registry.Delete, Key: e.Key, Prev: e.Version})
	if errors.Is(err, registry.ErrVersionConflict) {
		return nil
	}
	return err
}

// discard deletes a certificate whatever its state.
func (s *Service) discard(ctx context.Context, id string) error {
	err := s.reg.UpdateCertificate(ctx, id, registry.StatusInactive)
	if err == nil || errors.Is(err, registry.ErrCertificateState) {
		err = s.reg.DeleteCertificate(ctx, id, true)
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// A Claim is a temporary identity for the provisioning of one device.
type Claim struct {
	Certificate registry.Certificate
	Keys        registry.KeyPair
	Expires     time.Time
}

// CreateClaim makes a claim certificate that is good for a few minutes and
// for provisioning by this template alone (AWS IoT contract: provisioning by a
// trusted user).
func (s *Service) CreateClaim(ctx context.Context, name string) (Claim, error) {
	if _, err := s.Template(ctx, name); err != nil {
		return Claim{}, err
	}
	policy := "provisioning-claim-" + name
	if _, err := s.reg.CreatePolicy(ctx, policy, s.claimPolicy(name)); err != nil && !errors.Is(err, registry.ErrExists) {
		return Claim{}, err
	}
	expires := s.opts.Now().Add(s.opts.ClaimTTL).UTC()
	cert, keys, err := s.reg.CreateKeysAndCertificate(ctx, &registry.KeyOptions{CommonName: "provisioning claim for " + name, NotAfter: expires})
	if err != nil {
		return Claim{}, err
	}
	err = s.store.Apply(ctx, registry.Op{Kind: registry.Put, Key: fmt.Sprintf("%s%010d/%s", keyClaim, expires.Unix(), cert.ID), Prev: 0})
	if err == nil {
		err = s.reg.AttachPolicy(ctx, policy, cert.ID)
	}
	if err == nil {
		err = s.reg.UpdateCertificate(ctx, cert.ID, registry.StatusActive)
	}
	if err != nil {
		return Claim{}, errors.Join(err, s.discard(context.WithoutCancel(ctx), cert.ID))
	}
	cert.Status = registry.StatusActive
	return Claim{cert, keys, expires}, nil
}

// claimPolicy allows provisioning by one template and nothing else.
func (s *Service) claimPolicy(name string) string {
	topics := []string{"$aws/certificates/create/*", "$aws/certificates/create-from-csr/*", "$aws/provisioning-templates/" + name + "/provision/*"}
	var publish, subscribe []string
	for _, topic := range topics {
		publish = append(publish, s.reg.ARN("topic/"+topic))
		subscribe = append(subscribe, s.reg.ARN("topicfilter/"+topic))
	}
	type statement struct {
		Effect, Action any
		Resource       []string
	}
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{"Allow", "iot:Connect", []string{"*"}},
		{"Allow", []string{"iot:Publish", "iot:Receive"}, publish},
		{"Allow", "iot:Subscribe", subscribe},
	}})
	if err != nil {
		panic(err) // of texts alone
	}
	return string(text)
}
