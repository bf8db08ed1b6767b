package provision_test

import (
	"context"
	"fmt"
	"log"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/provision"
)

func Example() {
	ctx := context.Background()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	service, err := provision.New(reg, registry.NewMemStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	result, err := service.RegisterThing(ctx, `{
		"Parameters": {"Serial": {"Type": "String"}},
		"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {
			"ThingName": {"Fn::Sub": "lamp-${Serial}"}, "AttributePayload": {"serial": {"Ref": "Serial"}}}}}
	}`, map[string]string{"Serial": "7"})
	if err != nil {
		log.Fatal(err)
	}
	thing, err := reg.Thing(ctx, result.Thing)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(thing.Name, thing.Attributes)

	_, err = provision.Parse([]byte(`{"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}}}}`))
	fmt.Println(err)
	// Output:
	// lamp-7 map[serial:7]
	// provision: invalid template: Resources.thing.Properties.ThingName.Ref: the parameter "Serial" is not declared
}
