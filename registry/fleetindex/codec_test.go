package fleetindex

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
)

// What is decoded is what was encoded, and nothing that is decoded panics.
func FuzzDocument(f *testing.F) {
	for _, k := range []Known{
		{},
		{Thing: &registry.Thing{Name: "t", Type: "lamp", Attributes: map[string]string{"a": "1"}, Groups: []string{"g"}, Version: 7}},
		{Thing: &registry.Thing{Name: "t"}, Shadows: map[string]json.RawMessage{"": []byte(`{"a":1}`), "cfg": []byte(`{}`)},
			Defender: []byte(`{"violationCount":1}`), Connectivity: &fleet.Connectivity{Connected: true, Timestamp: 5}},
	} {
		data, err := k.encode()
		if err != nil {
			f.Fatal(err)
		}
		var got Known
		if err := got.decode(data); err != nil || !reflect.DeepEqual(got, k) {
			f.Fatalf("got %+v, %v, want %+v", got, err, k)
		}
		if len(data) > 0 && new(Known).decode(data[:len(data)-1]) == nil {
			f.Fatalf("%+v without its last byte is decoded", k)
		}
		f.Add(data)
	}
	f.Add([]byte("S\x03\x09ab"))
	f.Add([]byte("T\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var k, again Known
		if k.decode(data) != nil {
			return
		}
		text, err := k.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.decode(text); err != nil || !reflect.DeepEqual(again, k) {
			t.Fatalf("got %+v, %v, want %+v", again, err, k)
		}
	})
}
