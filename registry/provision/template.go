package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxTemplateLength is the longest template body, in characters.
const MaxTemplateLength = 10240

// A Template says which thing, certificate and policies a device gets, in
// terms of parameters (AWS IoT contract: provisioning templates). It is
// immutable and safe for concurrent use.
type Template struct {
	params   map[string]*string // the default; nil has none
	mappings map[string]map[string]map[string]string

	thing    *thingResource
	cert     *certResource
	policies []policyResource
	device   map[string]expr
}

// An Override says what happens to what exists already.
type Override string

// The overrides. Empty means DoNothing.
const (
	DoNothing Override = "DO_NOTHING"
	Replace   Override = "REPLACE"
	Fail      Override = "FAIL"
	Merge     Override = "MERGE" // of AttributePayload and ThingGroups only
)

type thingResource struct {
	name, thingType expr // thingType may be nil
	billing         expr // may be nil
	attributes      map[string]expr
	groups          expr // nil, or a list

	overrideAttributes, overrideType, overrideGroups Override
}

type certResource struct {
	csr, id, pem, caPEM, status expr // exactly one of the first three
	overrideStatus              Override
}

type policyResource struct {
	name, document expr // exactly one
}

// Parse reads a template. Errors are *TemplateError, with the path of the
// member, or line and column where the text is not JSON.
func Parse(body []byte) (*Template, error) {
	if n := utf8.RuneCount(body); n > MaxTemplateLength {
		return nil, invalidTemplate("", "has %d characters, at most %d are allowed", n, MaxTemplateLength)
	}
	var top struct {
		Parameters map[string]struct {
			Type        string
			Default     *string
			Description string
		}
		Mappings            map[string]map[string]map[string]string
		Resources           map[string]json.RawMessage
		DeviceConfiguration map[string]json.RawMessage
		Description         string
		Version             string `json:"AWSTemplateFormatVersion"`
	}
	if err := decode("", body, &top); err != nil {
		return nil, err
	}
	t := &Template{params: map[string]*string{}, mappings: top.Mappings, device: map[string]expr{}}
	for name, p := range top.Parameters {
		if p.Type != "String" {
			return nil, invalidTemplate("Parameters."+name+".Type", "is %q, not String", p.Type)
		}
		t.params[name] = p.Default
	}
	for _, name := range slices.Sorted(maps.Keys(top.Resources)) {
		if err := t.resource("Resources."+name, top.Resources[name]); err != nil {
			return nil, err
		}
	}
	if t.thing == nil && t.cert == nil && len(t.policies) == 0 {
		return nil, invalidTemplate("Resources", "is empty")
	}
	for name, raw := range top.DeviceConfiguration {
		e, err := parseExpr("DeviceConfiguration."+name, raw, 0)
		if err != nil {
			return nil, err
		}
		if _, list := e.(listOf); list {
			return nil, invalidTemplate("DeviceConfiguration."+name, "is a list; the configuration is flat")
		}
		t.device[name] = e
	}
	return t, t.checkRefs()
}

// decode reads JSON into v and refuses members that v does not have.
func decode(path string, text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil && dec.More() {
		err = errors.New("there is more after the object")
	}
	if err == nil {
		return nil
	}
	te := &TemplateError{Path: path, Reason: strings.TrimPrefix(err.Error(), "json: ")}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok && path == "" {
		before := text[:min(int(se.Offset), len(text))]
		te.Line = bytes.Count(before, []byte("\n")) + 1
		te.Column = len(before) - bytes.LastIndexByte(before, '\n') - 1
	}
	return te
}

func (t *Template) resource(path string, raw json.RawMessage) error {
	var r struct {
		Type             string
		Properties       json.RawMessage
		OverrideSettings json.RawMessage
	}
	if err := decode(path, raw, &r); err != nil {
		return err
	}
	properties, overrides := path+".Properties", path+".OverrideSettings"
	if len(r.Properties) == 0 {
		return invalidTemplate(properties, "is missing")
	}
	switch r.Type {
	case "AWS::IoT::Thing":
		if t.thing != nil {
			return invalidTemplate(path, "a second thing")
		}
		return t.thingResource(properties, r.Properties, overrides, r.OverrideSettings)
	case "AWS::IoT::Certificate":
		if t.cert != nil {
			return invalidTemplate(path, "a second certificate")
		}
		return t.certResource(properties, r.Properties, overrides, r.OverrideSettings)
	case "AWS::IoT::Policy":
		if len(r.OverrideSettings) > 0 {
			return invalidTemplate(overrides, "policies have none")
		}
		return t.policyResource(properties, r.Properties)
	}
	return invalidTemplate(path+".Type", "is %q, not AWS::IoT::Thing, AWS::IoT::Certificate or AWS::IoT::Policy", r.Type)
}

func (t *Template) thingResource(path string, raw json.RawMessage, overridesPath string, overrides json.RawMessage) (err error) {
	var p struct {
		ThingName, ThingTypeName, ThingGroups, BillingGroup json.RawMessage
		AttributePayload                                    map[string]json.RawMessage
	}
	if err := decode(path, raw, &p); err != nil {
		return err
	}
	r := &thingResource{attributes: map[string]expr{}}
	if r.name, err = required(path+".ThingName", p.ThingName); err != nil {
		return err
	}
	if r.thingType, err = optional(path+".ThingTypeName", p.ThingTypeName); err != nil {
		return err
	}
	if r.groups, err = optional(path+".ThingGroups", p.ThingGroups); err != nil {
		return err
	}
	if r.billing, err = optional(path+".BillingGroup", p.BillingGroup); err != nil {
		return err
	}
	for name, raw := range p.AttributePayload {
		if r.attributes[name], err = parseExpr(path+".AttributePayload."+name, raw, 0); err != nil {
			return err
		}
	}
	var o struct{ AttributePayload, ThingTypeName, ThingGroups Override }
	if err := decodeOverrides(overridesPath, overrides, &o); err != nil {
		return err
	}
	r.overrideAttributes, r.overrideType, r.overrideGroups = o.AttributePayload, o.ThingTypeName, o.ThingGroups
	t.thing = r
	return errors.Join(checkOverride(overridesPath+".AttributePayload", o.AttributePayload, true),
		checkOverride(overridesPath+".ThingTypeName", o.ThingTypeName, false),
		checkOverride(overridesPath+".ThingGroups", o.ThingGroups, true))
}

func (t *Template) certResource(path string, raw json.RawMessage, overridesPath string, overrides json.RawMessage) (err error) {
	var p struct {
		CertificateSigningRequest, CertificateID, CertificatePem, CACertificatePem, Status json.RawMessage
		// AWS spells it CertificateId; encoding/json does not mind the case.
	}
	if err := decode(path, raw, &p); err != nil {
		return err
	}
	given := 0
	for _, raw := range []json.RawMessage{p.CertificateSigningRequest, p.CertificateID, p.CertificatePem} {
		if len(raw) > 0 {
			given++
		}
	}
	if given != 1 {
		return invalidTemplate(path, "has %d of CertificateSigningRequest, CertificateId and CertificatePem, not one", given)
	}
	if len(p.CACertificatePem) > 0 && len(p.CertificatePem) == 0 {
		return invalidTemplate(path+".CACertificatePem", "goes together with CertificatePem only")
	}
	r := &certResource{}
	for _, m := range []struct {
		name string
		raw  json.RawMessage
		to   *expr
	}{
		{"CertificateSigningRequest", p.CertificateSigningRequest, &r.csr}, {"CertificateId", p.CertificateID, &r.id},
		{"CertificatePem", p.CertificatePem, &r.pem}, {"CACertificatePem", p.CACertificatePem, &r.caPEM}, {"Status", p.Status, &r.status},
	} {
		if *m.to, err = optional(path+"."+m.name, m.raw); err != nil {
			return err
		}
	}
	var o struct{ Status Override }
	if err := decodeOverrides(overridesPath, overrides, &o); err != nil {
		return err
	}
	r.overrideStatus = o.Status
	t.cert = r
	return checkOverride(overridesPath+".Status", o.Status, false)
}

func (t *Template) policyResource(path string, raw json.RawMessage) (err error) {
	var p struct{ PolicyName, PolicyDocument json.RawMessage }
	if err := decode(path, raw, &p); err != nil {
		return err
	}
	if (len(p.PolicyName) > 0) == (len(p.PolicyDocument) > 0) {
		return invalidTemplate(path, "has PolicyName or PolicyDocument, one of them")
	}
	var r policyResource
	if r.name, err = optional(path+".PolicyName", p.PolicyName); err != nil {
		return err
	}
	if isDocument(p.PolicyDocument) {
		r.document, err = parseDocument(path+".PolicyDocument", p.PolicyDocument)
		if err != nil {
			return err
		}
	} else if r.document, err = optional(path+".PolicyDocument", p.PolicyDocument); err != nil {
		return err
	}
	t.policies = append(t.policies, r)
	return nil
}

// isDocument tells a policy written as an object from a function that makes
// its text.
func isDocument(raw json.RawMessage) bool {
	var members map[string]json.RawMessage
	if kindOf(raw) != '{' || json.Unmarshal(raw, &members) != nil {
		return false
	}
	_, ok := members["Statement"]
	return ok
}

func required(path string, raw json.RawMessage) (expr, error) {
	if len(raw) == 0 {
		return nil, invalidTemplate(path, "is missing")
	}
	return parseExpr(path, raw, 0)
}

// optional is nil for what is absent.
func optional(path string, raw json.RawMessage) (expr, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	return parseExpr(path, raw, 0)
}

func decodeOverrides(path string, raw json.RawMessage, v any) error {
	if len(raw) == 0 {
		return nil
	}
	return decode(path, raw, v)
}

func checkOverride(path string, o Override, merge bool) error {
	switch o {
	case "", DoNothing, Replace, Fail:
		return nil
	case Merge:
		if merge {
			return nil
		}
	}
	return invalidTemplate(path, "cannot be %q", string(o))
}

// builtIn begins the names of parameters that the backend fills in.
const builtIn = "AWS::IoT::"

// checkRefs finds parameters that nobody can give.
func (t *Template) checkRefs() error {
	var errs []error
	check := func(e expr) {
		walk(e, nil, func(name, path string) {
			if _, ok := t.params[name]; !ok && !strings.HasPrefix(name, builtIn) {
				errs = append(errs, invalidTemplate(path, "the parameter %q is not declared", name))
			}
		})
	}
	if r := t.thing; r != nil {
		check(r.name)
		check(r.thingType)
		check(r.billing)
		check(r.groups)
		for _, name := range slices.Sorted(maps.Keys(r.attributes)) {
			check(r.attributes[name])
		}
	}
	if r := t.cert; r != nil {
		for _, e := range []expr{r.csr, r.id, r.pem, r.caPEM, r.status} {
			check(e)
		}
	}
	for _, p := range t.policies {
		check(p.name)
		check(p.document)
	}
	for _, name := range slices.Sorted(maps.Keys(t.device)) {
		check(t.device[name])
	}
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// walk calls use for each parameter that e looks up, but for local ones.
func walk(e expr, local map[string]expr, use func(name, path string)) {
	switch e := e.(type) {
	case listOf:
		for _, one := range e {
			walk(one, local, use)
		}
	case ref:
		if _, ok := local[e.name]; !ok {
			use(e.name, e.path)
		}
	case join:
		walk(e.list, local, use)
	case selectAt:
		walk(e.index, local, use)
		walk(e.list, local, use)
	case findInMap:
		for _, key := range e.keys {
			walk(key, local, use)
		}
	case split:
		walk(e.text, local, use)
	case document:
		for _, v := range e.values {
			walk(v.e, local, use)
		}
	case sub:
		for _, v := range e.vars {
			walk(v, local, use)
		}
		for _, part := range strings.Split(e.text, "${")[1:] {
			name, _, closed := strings.Cut(part, "}")
			if _, ok := e.vars[name]; closed && !ok && !strings.HasPrefix(name, "!") {
				use(name, e.path)
			}
		}
	}
}

// Parameters yields the names of the declared parameters, and whether each has
// to be given.
func (t *Template) Parameters() map[string]bool {
	all := map[string]bool{}
	for name, def := range t.params {
		all[name] = def == nil
	}
	return all
}

func (t *Template) String() string {
	return fmt.Sprintf("template with parameters %v", slices.Sorted(maps.Keys(t.params)))
}
