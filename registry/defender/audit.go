package defender

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// The checks of an audit.
const (
	PolicyPermissive    = "IOT_POLICY_OVERLY_PERMISSIVE_CHECK"
	CertificateShared   = "DEVICE_CERTIFICATE_SHARED_CHECK"
	CertificateKey      = "DEVICE_CERTIFICATE_KEY_QUALITY_CHECK"
	CAKey               = "CA_CERTIFICATE_KEY_QUALITY_CHECK"
	ClientsConflicting  = "CONFLICTING_CLIENT_IDS_CHECK"
	CertificateExpiring = "DEVICE_CERTIFICATE_EXPIRING_CHECK"
	CAExpiring          = "CA_CERTIFICATE_EXPIRING_CHECK"
)

// Checks maps the checks that are made to their severity.
func Checks() map[string]string {
	return map[string]string{PolicyPermissive: "CRITICAL", CertificateShared: "CRITICAL", CertificateKey: "CRITICAL", CAKey: "CRITICAL",
		ClientsConflicting: "HIGH", CertificateExpiring: "MEDIUM", CAExpiring: "MEDIUM"}
}

// An AuditConfiguration is what is audited. A check that is not in Checks is off.
type AuditConfiguration struct {
	RoleARN string                        `json:"roleArn,omitempty"`
	Targets map[string]NotificationTarget `json:"auditNotificationTargetConfigurations,omitempty"`
	Checks  map[string]CheckSwitch        `json:"auditCheckConfigurations,omitempty"`
}

// A NotificationTarget is kept for clients that set it.
type NotificationTarget struct {
	TargetARN string `json:"targetArn,omitempty"`
	RoleARN   string `json:"roleArn,omitempty"`
	Enabled   bool   `json:"enabled,omitempty"`
}

// A CheckSwitch turns a check on.
type CheckSwitch struct {
	Enabled bool `json:"enabled"`
}

// AuditConfiguration returns what is audited: all checks, until one is switched.
func (s *Service) AuditConfiguration(ctx context.Context) (AuditConfiguration, error) {
	c := AuditConfiguration{Checks: map[string]CheckSwitch{}}
	found, err := s.load(ctx, keyAuditConfig, &c)
	if err == nil && !found {
		for check := range Checks() {
			c.Checks[check] = CheckSwitch{true}
		}
	}
	return c, err
}

// UpdateAuditConfiguration switches checks; what is empty stays.
func (s *Service) UpdateAuditConfiguration(ctx context.Context, change AuditConfiguration) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	c, err := s.AuditConfiguration(ctx)
	if err != nil {
		return err
	}
	for check, to := range change.Checks {
		if Checks()[check] == "" && to.Enabled {
			return invalid("auditCheckConfigurations", "names %q, a check that is not made here", check)
		}
		c.Checks[check] = to
	}
	c.RoleARN = cmp.Or(change.RoleARN, c.RoleARN)
	if len(change.Targets) > 0 {
		c.Targets = change.Targets
	}
	op, err := put(keyAuditConfig, c)
	if err != nil {
		return err
	}
	return s.store.Apply(ctx, op)
}

// An Audit is one run of checks.
type Audit struct {
	ID        string                 `json:"id"`
	Scheduled string                 `json:"scheduled,omitempty"` // the name of the scheduled audit
	Start     time.Time              `json:"start"`
	Checks    map[string]CheckResult `json:"checks"`
}

// A CheckResult is what a check came to.
type CheckResult struct {
	Total        int `json:"total"` // resources looked at
	NonCompliant int `json:"nonCompliant"`
}

// A Finding is one resource that is not as it should be.
type Finding struct {
	ID       string    `json:"id"`
	Task     string    `json:"task"`
	Check    string    `json:"check"`
	Start    time.Time `json:"start"` // of the audit
	Time     time.Time `json:"time"`
	Severity string    `json:"severity"`
	Reason   string    `json:"reason"`
	Code     string    `json:"code"`
	// Type is DEVICE_CERTIFICATE, CA_CERTIFICATE, IOT_POLICY or CLIENT_ID, and
	// Resource its ID or name; Version is that of a policy.
	Type     string   `json:"type"`
	Resource string   `json:"resource"`
	Version  string   `json:"version,omitempty"`
	Related  []string `json:"related,omitempty"` // client IDs
}

// maxFindings bounds what one check of one audit keeps; the counts go on.
const maxFindings = 10000

// Audit makes checks, which have to be switched on, and returns when it is done.
func (s *Service) Audit(ctx context.Context, checks []string) (Audit, error) {
	if len(checks) == 0 {
		return Audit{}, invalid("targetCheckNames", "is empty")
	}
	return s.audit(ctx, checks, "")
}

func (s *Service) checkChecks(ctx context.Context, checks []string) error {
	c, err := s.AuditConfiguration(ctx)
	if err != nil {
		return err
	}
	for _, check := range checks {
		if !c.Checks[check].Enabled || Checks()[check] == "" {
			return invalid("targetCheckNames", "names %q, which is not switched on or not made here", check)
		}
	}
	return nil
}

func (s *Service) audit(ctx context.Context, checks []string, scheduled string) (Audit, error) {
	if err := s.checkChecks(ctx, checks); err != nil {
		return Audit{}, err
	}
	var id [16]byte
	rand.Read(id[:])
	a := Audit{ID: hex.EncodeToString(id[:]), Scheduled: scheduled, Start: s.opts.Now(), Checks: map[string]CheckResult{}}
	n := 0
	for _, check := range checks {
		result := CheckResult{}
		for f, err := range s.run(ctx, check) {
			if err != nil {
				return a, err
			}
			if result.Total++; f.Resource == "" {
				continue
			}
			if result.NonCompliant++; result.NonCompliant > maxFindings {
				continue
			}
			n++
			f.ID, f.Task, f.Check, f.Severity = fmt.Sprintf("%s-%d", a.ID, n), a.ID, check, Checks()[check]
			f.Start, f.Time = a.Start, s.opts.Now()
			op, err := put(fmt.Sprintf("%s%s/%08d", keyFinding, a.ID, n), f)
			if err != nil {
				return a, err
			}
			if err := s.store.Apply(ctx, op); err != nil {
				return a, err
			}
		}
		a.Checks[check] = result
	}
	op, err := put(keyAudit+a.ID, a)
	if err != nil {
		return a, err
	}
	return a, s.store.Apply(ctx, op)
}

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

// AuditOf returns an audit that was made.
func (s *Service) AuditOf(ctx context.Context, id string) (Audit, error) {
	var a Audit
	found, err := s.load(ctx, keyAudit+id, &a)
	if err == nil && !found {
		err = notFound("audit task", id)
	}
	return a, err
}

// A FindingQuery selects findings; zero fields select all.
type FindingQuery struct {
	Task, Check string
	Start, End  time.Time // of the finding; End is not included
	After       string    // the key of the last one seen
}

// Findings yields what audits found, with a key for FindingQuery.After.
func (s *Service) Findings(ctx context.Context, q FindingQuery) iter.Seq2[Finding, error] {
	prefix := keyFinding
	if q.Task != "" {
		prefix += q.Task + "/"
	}
	return func(yield func(Finding, error) bool) {
		after := ""
		if q.After != "" {
			after = keyFinding + q.After
		}
		for e, err := range s.store.Scan(ctx, prefix, after) {
			var f Finding
			if err == nil {
				err = json.Unmarshal(e.Value, &f)
			}
			if err == nil && (q.Check != "" && f.Check != q.Check || f.Time.Before(q.Start) || !q.End.IsZero() && !f.Time.Before(q.End)) {
				continue
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// Key is the place of a finding in the list.
func (f *Finding) Key() string {
	n := 0
	fmt.Sscan(strings.TrimPrefix(f.ID, f.Task+"-"), &n)
	return fmt.Sprintf("%s/%08d", f.Task, n)
}

// A ScheduledAudit is one that Run makes again and again.
type ScheduledAudit struct {
	Name       string    `json:"name"`
	Frequency  string    `json:"frequency"`            // DAILY, WEEKLY, BIWEEKLY or MONTHLY
	DayOfMonth string    `json:"dayOfMonth,omitempty"` // 1 to 31 or LAST, for MONTHLY
	DayOfWeek  string    `json:"dayOfWeek,omitempty"`  // SUN to SAT, for WEEKLY and BIWEEKLY
	Checks     []string  `json:"checks"`
	Created    time.Time `json:"created"`
	Last       time.Time `json:"last,omitzero"`
}

var weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

func (a *ScheduledAudit) check() error {
	errs := []error{checkName("scheduledAuditName", a.Name), oneOf("frequency", a.Frequency, "DAILY", "WEEKLY", "BIWEEKLY", "MONTHLY")}
	switch a.Frequency {
	case "WEEKLY", "BIWEEKLY":
		errs = append(errs, oneOf("dayOfWeek", a.DayOfWeek, weekdays...))
	case "MONTHLY":
		if n := 0; a.DayOfMonth != "LAST" {
			if _, err := fmt.Sscanf(a.DayOfMonth, "%d", &n); err != nil || fmt.Sprint(n) != a.DayOfMonth || n < 1 || n > 31 {
				errs = append(errs, invalid("dayOfMonth", "is %q, not 1 to 31 or LAST", a.DayOfMonth))
			}
		}
	}
	return errors.Join(errs...)
}

// due reports whether the audit is to be made on the day of now, in UTC. In
// months that are too short the last day stands for the one meant.
func (a *ScheduledAudit) due(now time.Time) bool {
	now = now.UTC()
	day := func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
	if !a.Last.IsZero() && !day(now).After(day(a.Last)) {
		return false
	}
	switch a.Frequency {
	case "WEEKLY", "BIWEEKLY":
		if weekdays[now.Weekday()] != a.DayOfWeek {
			return false
		}
		return a.Frequency == "WEEKLY" || a.Last.IsZero() || day(now).Sub(day(a.Last)) >= 14*24*time.Hour
	case "MONTHLY":
		last := time.Date(now.Year(), now.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		want := last
		if a.DayOfMonth != "LAST" {
			fmt.Sscan(a.DayOfMonth, &want)
		}
		return now.Day() == min(want, last)
	}
	return true
}

// CreateScheduledAudit adds a scheduled audit.
func (s *Service) CreateScheduledAudit(ctx context.Context, a ScheduledAudit) error {
	if err := errors.Join(a.check(), s.checkChecks(ctx, a.Checks)); err != nil {
		return err
	}
	if len(a.Checks) == 0 {
		return invalid("targetCheckNames", "is empty")
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	if found, err := s.load(ctx, keyScheduled+a.Name, &ScheduledAudit{}); err != nil || found {
		return errors.Join(err, fmt.Errorf("defender: scheduled audit %q: %w", a.Name, ErrExists))
	}
	a.Created = s.opts.Now()
	op, err := put(keyScheduled+a.Name, a)
	if err != nil {
		return err
	}
	return s.store.Apply(ctx, op)
}

// runScheduled makes the audits that are due.
func (s *Service) runScheduled(ctx context.Context) error {
	var errs []error
	for a, err := range values[ScheduledAudit](ctx, s, keyScheduled, "") {
		if err != nil {
			return err
		}
		now := s.opts.Now()
		if !a.due(now) {
			continue
		}
		a.Last = now
		op, err := put(keyScheduled+a.Name, a)
		if err == nil {
			err = s.store.Apply(ctx, op)
		}
		if err == nil {
			_, err = s.audit(ctx, a.Checks, a.Name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// purgeAudits deletes the audits made before a time, with their findings.
func (s *Service) purgeAudits(ctx context.Context, before time.Time) error {
	for a, err := range values[Audit](ctx, s, keyAudit, "") {
		if err != nil {
			return err
		}
		if !a.Start.Before(before) {
			continue
		}
		for e, err := range s.store.Scan(ctx, keyFinding+a.ID+"/", "") {
			if err != nil {
				return err
			}
			if err := s.store.Apply(ctx, remove(e.Key)); err != nil {
				return err
			}
		}
		if err := s.store.Apply(ctx, remove(keyAudit+a.ID)); err != nil {
			return err
		}
	}
	return nil
}
