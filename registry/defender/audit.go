package defender

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
	"time"
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
	CertificateAge      = "DEVICE_CERTIFICATE_AGE_CHECK"
	PolicyMisconfigured = "IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK"

	// These need Options.Revocations.
	CertificateRevoked  = "REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK"
	CARevoked           = "REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK"
	IntermediateRevoked = "INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK"
	// LoggingDisabled needs Options.Logging.
	LoggingDisabled = "LOGGING_DISABLED_CHECK"
	// These need Options.RoleAliases.
	RolePermissive = "IOT_ROLE_ALIAS_OVERLY_PERMISSIVE_CHECK"
	RoleUnused     = "IOT_ROLE_ALIAS_ALLOWS_ACCESS_TO_UNUSED_SERVICES_CHECK"
)

// severities are those of all checks there are here. What is missing of AWS is
// about Cognito.
var severities = map[string]string{PolicyPermissive: "CRITICAL", CertificateShared: "CRITICAL", CertificateKey: "CRITICAL", CAKey: "CRITICAL",
	CARevoked: "CRITICAL", IntermediateRevoked: "CRITICAL", RolePermissive: "CRITICAL", ClientsConflicting: "HIGH",
	CertificateExpiring: "MEDIUM", CAExpiring: "MEDIUM", CertificateRevoked: "MEDIUM", RoleUnused: "MEDIUM", PolicyMisconfigured: "MEDIUM",
	CertificateAge: "LOW", LoggingDisabled: "LOW"}

// Checks maps the checks that are made to their severity: those whose sources
// Options has.
func (s *Service) Checks() map[string]string {
	made := maps.Clone(severities)
	for check, missing := range map[string]bool{CertificateRevoked: s.opts.Revocations == nil, CARevoked: s.opts.Revocations == nil,
		IntermediateRevoked: s.opts.Revocations == nil, LoggingDisabled: s.opts.Logging == nil,
		RolePermissive: s.opts.RoleAliases == nil, RoleUnused: s.opts.RoleAliases == nil} {
		if missing {
			delete(made, check)
		}
	}
	return made
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

// A CheckSwitch turns a check on. Configuration has the days of
// CertificateExpiring as CERT_EXPIRATION_THRESHOLD_IN_DAYS (30 to 3652; absent
// is Options.Expiring) and those of CertificateAge as CERT_AGE_THRESHOLD_IN_DAYS
// (30 to 3652; absent is 365).
type CheckSwitch struct {
	Enabled       bool              `json:"enabled"`
	Configuration map[string]string `json:"configuration,omitempty"`
}

// days are the names in which checks are configured.
var days = map[string]string{CertificateExpiring: "CERT_EXPIRATION_THRESHOLD_IN_DAYS", CertificateAge: "CERT_AGE_THRESHOLD_IN_DAYS"}

func (c *CheckSwitch) check(check string) error {
	for name, value := range c.Configuration {
		if name != days[check] {
			return invalid("auditCheckConfigurations."+check, "is configured by %q, which it is not", name)
		}
		if n, err := strconv.Atoi(value); err != nil || n < 30 || n > 3652 {
			return invalid("auditCheckConfigurations."+check, "has %s %q, not 30 to 3652", name, value)
		}
	}
	return nil
}

// threshold is what a check is configured to, or the default.
func (c *CheckSwitch) threshold(check string, byDefault time.Duration) time.Duration {
	if n, err := strconv.Atoi(c.Configuration[days[check]]); err == nil {
		return time.Duration(n) * 24 * time.Hour
	}
	return byDefault
}

// AuditConfiguration returns what is audited: all checks, until one is switched.
func (s *Service) AuditConfiguration(ctx context.Context) (AuditConfiguration, error) {
	c := AuditConfiguration{Checks: map[string]CheckSwitch{}}
	found, err := s.load(ctx, keyAuditConfig, &c)
	if err == nil && !found {
		for check := range s.Checks() {
			c.Checks[check] = CheckSwitch{Enabled: true}
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
		if s.Checks()[check] == "" && to.Enabled {
			return invalid("auditCheckConfigurations", "names %q, a check that is not made here", check)
		}
		if err := to.check(check); err != nil {
			return err
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
	// Type is DEVICE_CERTIFICATE, CA_CERTIFICATE, IOT_POLICY, CLIENT_ID,
	// ROLE_ALIAS or ACCOUNT_SETTINGS, and Resource its ID, name, ARN or account;
	// Version is that of a policy.
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
	_, err := s.enabled(ctx, checks)
	return err
}

// enabled returns the configuration in which all the checks are switched on.
func (s *Service) enabled(ctx context.Context, checks []string) (AuditConfiguration, error) {
	c, err := s.AuditConfiguration(ctx)
	if err != nil {
		return c, err
	}
	for _, check := range checks {
		if !c.Checks[check].Enabled || s.Checks()[check] == "" {
			return c, invalid("targetCheckNames", "names %q, which is not switched on or not made here", check)
		}
	}
	return c, nil
}

func (s *Service) audit(ctx context.Context, checks []string, scheduled string) (Audit, error) {
	c, err := s.enabled(ctx, checks)
	if err != nil {
		return Audit{}, err
	}
	var id [16]byte
	rand.Read(id[:])
	a := Audit{ID: hex.EncodeToString(id[:]), Scheduled: scheduled, Start: s.opts.Now(), Checks: map[string]CheckResult{}}
	n := 0
	for _, check := range checks {
		result := CheckResult{}
		for f, err := range s.run(ctx, check, c.Checks[check]) {
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
			f.ID, f.Task, f.Check, f.Severity = fmt.Sprintf("%s-%d", a.ID, n), a.ID, check, severities[check]
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
	// Type and Resource are those of a Finding.
	Type, Resource string
	Start, End     time.Time // of the finding; End is not included
	After          string    // the key of the last one seen
}

func (q *FindingQuery) matches(f *Finding) bool {
	return (q.Check == "" || f.Check == q.Check) && (q.Type == "" || f.Type == q.Type) && (q.Resource == "" || f.Resource == q.Resource)
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
			if err == nil && (!q.matches(&f) || f.Time.Before(q.Start) || !q.End.IsZero() && !f.Time.Before(q.End)) {
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
