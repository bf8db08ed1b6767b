package fleet_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/thingloom/thingloom/registry/fleet"
)

func Example() {
	q, err := fleet.Parse(`thingTypeName:Lamp AND shadow.reported.battery<20`)
	if err != nil {
		log.Fatal(err)
	}
	for _, battery := range []int{12, 80} {
		doc := fleet.NewDocument(fleet.Thing{Name: "lamp-7", Type: "Lamp",
			Shadow: fmt.Appendf(nil, `{"reported": {"battery": %d}}`, battery)})
		fmt.Println(battery, q.Match(doc))
	}

	_, err = fleet.Parse(`thingTypeName:Lamp AND (battery:low`)
	if se, ok := errors.AsType[*fleet.SyntaxError](err); ok {
		fmt.Println("column", se.Column, se.Reason)
	}
	// Output:
	// 12 true
	// 80 false
	// column 24 this parenthesis is not closed
}
