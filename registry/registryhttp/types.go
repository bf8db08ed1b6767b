package registryhttp

import (
	"iter"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// typeProperties are the properties of a thing type on the wire.
type typeProperties struct {
	Description string   `json:"thingTypeDescription,omitempty"`
	Searchable  []string `json:"searchableAttributes,omitempty"`
	MQTT5       *mqtt5   `json:"mqtt5Configuration,omitempty"`
}

type mqtt5 struct {
	Propagating []registry.PropagatingAttribute `json:"propagatingAttributes,omitempty"`
}

// typeMetadata is the state of a thing type on the wire.
type typeMetadata struct {
	Deprecated bool             `json:"deprecated"`
	Date       *awshttp.Seconds `json:"deprecationDate,omitempty"`
	Created    awshttp.Seconds  `json:"creationDate"`
}

func propertiesOf(t registry.ThingType) typeProperties {
	p := typeProperties{Description: t.Description, Searchable: t.Searchable}
	if len(t.Propagating) > 0 {
		p.MQTT5 = &mqtt5{t.Propagating}
	}
	return p
}

func metadataOf(t registry.ThingType) typeMetadata {
	m := typeMetadata{Created: awshttp.Seconds(t.Created)}
	if !t.Deprecated.IsZero() {
		date := awshttp.Seconds(t.Deprecated)
		m.Deprecated, m.Date = true, &date
	}
	return m
}

func (c *call) thingType() (registry.ThingType, error) {
	var in struct {
		ThingTypeProperties typeProperties
		Tags                awshttp.Tags // of CreateThingType
	}
	if err := c.Body(&in); err != nil {
		return registry.ThingType{}, err
	}
	p := in.ThingTypeProperties
	t := registry.ThingType{Name: c.PathValue("thingTypeName"), Description: p.Description, Searchable: p.Searchable, Tags: in.Tags}
	if p.MQTT5 != nil {
		t.Propagating = p.MQTT5.Propagating
	}
	return t, nil
}

func createThingType(c *call) (any, error) {
	t, err := c.thingType()
	if err != nil {
		return nil, err
	}
	t, err = c.reg.CreateThingType(c.Context(), t)
	return struct {
		Name string `json:"thingTypeName"`
		ARN  string `json:"thingTypeArn"`
		ID   string `json:"thingTypeId"`
	}{t.Name, c.reg.ARN("thingtype/" + t.Name), t.ID}, err
}

func updateThingType(c *call) (any, error) {
	t, err := c.thingType()
	if err != nil {
		return nil, err
	}
	_, err = c.reg.UpdateThingType(c.Context(), t)
	return nil, err
}

func describeThingType(c *call) (any, error) {
	t, err := c.reg.ThingType(c.Context(), c.PathValue("thingTypeName"))
	return struct {
		Name       string         `json:"thingTypeName"`
		ID         string         `json:"thingTypeId"`
		ARN        string         `json:"thingTypeArn"`
		Properties typeProperties `json:"thingTypeProperties"`
		Metadata   typeMetadata   `json:"thingTypeMetadata"`
	}{t.Name, t.ID, c.reg.ARN("thingtype/" + t.Name), propertiesOf(t), metadataOf(t)}, err
}

func listThingTypes(c *call) (any, error) {
	type view struct {
		Name       string         `json:"thingTypeName"`
		ARN        string         `json:"thingTypeArn"`
		Properties typeProperties `json:"thingTypeProperties"`
		Metadata   typeMetadata   `json:"thingTypeMetadata"`
	}
	only := c.Query("thingTypeName")
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[registry.ThingType, error] {
			return func(yield func(registry.ThingType, error) bool) {
				for t, err := range c.reg.ThingTypes(c.Context(), after) {
					if err == nil && only != "" && t.Name != only {
						continue
					}
					if !yield(t, err) {
						return
					}
				}
			}
		},
		func(t registry.ThingType) string { return t.Name },
		func(t registry.ThingType) view {
			return view{t.Name, c.reg.ARN("thingtype/" + t.Name), propertiesOf(t), metadataOf(t)}
		})
	return struct {
		Types []view `json:"thingTypes"`
		Token string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func deprecateThingType(c *call, in struct{ UndoDeprecate bool }) (any, error) {
	return nil, c.reg.DeprecateThingType(c.Context(), c.PathValue("thingTypeName"), in.UndoDeprecate)
}

func deleteThingType(c *call) (any, error) {
	return nil, c.reg.DeleteThingType(c.Context(), c.PathValue("thingTypeName"))
}
