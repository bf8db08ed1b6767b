package registryhttp

import (
	"fmt"
	"iter"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// attributePayload is how attributes come in.
type attributePayload struct {
	Attributes map[string]string `json:"attributes"`
	Merge      bool              `json:"merge"`
}

func createThing(c *call, in struct {
	ThingTypeName    string
	AttributePayload attributePayload
	BillingGroupName string
}) (any, error) {
	t, err := c.reg.CreateThing(c.Context(), registry.Thing{Name: c.PathValue("thingName"), Type: in.ThingTypeName,
		Attributes: in.AttributePayload.Attributes, BillingGroup: in.BillingGroupName})
	return struct {
		Name string `json:"thingName"`
		ARN  string `json:"thingArn"`
		ID   string `json:"thingId"`
	}{t.Name, c.reg.ARN("thing/" + t.Name), t.ID}, err
}

func updateThing(c *call, in struct {
	ThingTypeName    string
	AttributePayload attributePayload
	ExpectedVersion  int64
	RemoveThingType  bool
}) (any, error) {
	_, err := c.reg.UpdateThing(c.Context(), registry.ThingUpdate{Name: c.PathValue("thingName"), Type: in.ThingTypeName,
		RemoveType: in.RemoveThingType, Attributes: in.AttributePayload.Attributes, Merge: in.AttributePayload.Merge,
		ExpectedVersion: in.ExpectedVersion})
	return nil, err
}

func deleteThing(c *call) (any, error) {
	version, err := c.Number("expectedVersion")
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DeleteThing(c.Context(), c.PathValue("thingName"), version)
}

func describeThing(c *call) (any, error) {
	t, err := c.reg.Thing(c.Context(), c.PathValue("thingName"))
	return struct {
		ClientID   string            `json:"defaultClientId"`
		Name       string            `json:"thingName"`
		ID         string            `json:"thingId"`
		ARN        string            `json:"thingArn"`
		Type       string            `json:"thingTypeName,omitempty"`
		Attributes map[string]string `json:"attributes"`
		Version    int64             `json:"version"`
		Billing    string            `json:"billingGroupName,omitempty"`
	}{t.Name, t.Name, t.ID, c.reg.ARN("thing/" + t.Name), t.Type, orEmpty(t.Attributes), t.Version, t.BillingGroup}, err
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func listThings(c *call) (any, error) {
	prefix, err := c.Flag("usePrefixAttributeValue")
	if err != nil {
		return nil, err
	}
	q := registry.ThingQuery{Type: c.Query("thingTypeName"), Attribute: c.Query("attributeName"), Value: c.Query("attributeValue"), Prefix: prefix}
	if (q.Attribute == "") != (q.Value == "") {
		return nil, &awshttp.InputError{Field: "attributeName", Reason: "and attributeValue go together"}
	}
	type view struct {
		Name       string            `json:"thingName"`
		Type       string            `json:"thingTypeName,omitempty"`
		ARN        string            `json:"thingArn"`
		Attributes map[string]string `json:"attributes"`
		Version    int64             `json:"version"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[registry.Thing, error] {
			q.After = after
			return c.reg.Things(c.Context(), q)
		},
		func(t registry.Thing) string { return t.Name },
		func(t registry.Thing) view {
			return view{t.Name, t.Type, c.reg.ARN("thing/" + t.Name), orEmpty(t.Attributes), t.Version}
		})
	return struct {
		Things []view `json:"things"`
		Token  string `json:"nextToken,omitempty"`
	}{items, token}, err
}

// Types of attachments.
const (
	exclusiveThing    = "EXCLUSIVE_THING"
	nonExclusiveThing = "NON_EXCLUSIVE_THING"
)

// principal reads the header that names the principal.
func (c *call) principal(header string) (string, error) {
	p := c.Header.Get(header)
	if p == "" {
		return "", &awshttp.InputError{Field: "principal", Reason: "is missing: header " + header}
	}
	return p, nil
}

const principalHeader = "x-amzn-principal"

func attachThingPrincipal(c *call) (any, error) {
	p, err := c.principal(principalHeader)
	if err != nil {
		return nil, err
	}
	switch kind := c.Query("thingPrincipalType"); kind {
	case "", nonExclusiveThing:
		return nil, c.reg.AttachPrincipal(c.Context(), c.PathValue("thingName"), p)
	case exclusiveThing:
		return nil, c.reg.AttachPrincipalExclusively(c.Context(), c.PathValue("thingName"), p)
	default:
		return nil, &awshttp.InputError{Field: "thingPrincipalType", Reason: fmt.Sprintf("%q is unknown", kind)}
	}
}

func detachThingPrincipal(c *call) (any, error) {
	p, err := c.principal(principalHeader)
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DetachPrincipal(c.Context(), c.PathValue("thingName"), p)
}

// principalARN is how a principal is written in answers.
func (c *call) principalARN(p string) string {
	if len(p) == 64 {
		if _, err := c.reg.Certificate(c.Context(), p); err == nil {
			return c.reg.ARN("cert/" + p)
		}
	}
	return p
}

func attachmentKind(a registry.Attachment) string {
	if a.Exclusive {
		return exclusiveThing
	}
	return nonExclusiveThing
}

// checkKind checks the thingPrincipalType of the query.
func (c *call) checkKind() error {
	_, err := c.OneOf("thingPrincipalType", exclusiveThing, nonExclusiveThing)
	return err
}

func (c *call) thingPrincipals() func(after string) iter.Seq2[registry.Attachment, error] {
	return func(after string) iter.Seq2[registry.Attachment, error] {
		return c.ofKind(c.reg.ThingPrincipals(c.Context(), c.PathValue("thingName"), after))
	}
}

// ofKind leaves the attachments of the type that the query asks for.
func (c *call) ofKind(list iter.Seq2[registry.Attachment, error]) iter.Seq2[registry.Attachment, error] {
	kind := c.Query("thingPrincipalType")
	return func(yield func(registry.Attachment, error) bool) {
		for a, err := range list {
			if err == nil && kind != "" && kind != attachmentKind(a) {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

func byPrincipal(a registry.Attachment) string { return a.Principal }
func byThing(a registry.Attachment) string     { return a.Thing }

func listThingPrincipals(c *call) (any, error) {
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, c.thingPrincipals(), byPrincipal,
		func(a registry.Attachment) string { return c.principalARN(a.Principal) })
	return struct {
		Principals []string `json:"principals"`
		Token      string   `json:"nextToken,omitempty"`
	}{items, token}, err
}

func listThingPrincipalsV2(c *call) (any, error) {
	if err := c.checkKind(); err != nil {
		return nil, err
	}
	type view struct {
		Principal string `json:"principal"`
		Kind      string `json:"thingPrincipalType"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, c.thingPrincipals(), byPrincipal,
		func(a registry.Attachment) view { return view{c.principalARN(a.Principal), attachmentKind(a)} })
	return struct {
		Objects []view `json:"thingPrincipalObjects"`
		Token   string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func principalThings(c *call) (func(after string) iter.Seq2[registry.Attachment, error], error) {
	p, err := c.principal(principalHeader)
	return func(after string) iter.Seq2[registry.Attachment, error] {
		return c.ofKind(c.reg.PrincipalThings(c.Context(), p, after))
	}, err
}

func listPrincipalThings(c *call) (any, error) {
	list, err := principalThings(c)
	if err != nil {
		return nil, err
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, list, byThing, byThing)
	return struct {
		Things []string `json:"things"`
		Token  string   `json:"nextToken,omitempty"`
	}{items, token}, err
}

func listPrincipalThingsV2(c *call) (any, error) {
	if err := c.checkKind(); err != nil {
		return nil, err
	}
	list, err := principalThings(c)
	if err != nil {
		return nil, err
	}
	type view struct {
		Thing string `json:"thingName"`
		Kind  string `json:"thingPrincipalType"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, list, byThing,
		func(a registry.Attachment) view { return view{a.Thing, attachmentKind(a)} })
	return struct {
		Objects []view `json:"principalThingObjects"`
		Token   string `json:"nextToken,omitempty"`
	}{items, token}, err
}
