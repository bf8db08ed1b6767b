// Package provision brings new devices into a registry: by templates that say
// which thing, certificate and policies a device gets.
//
//   - fleet provisioning by claim: a device that was built with a shared claim
//     certificate gets one of its own over MQTT ([Serve]);
//   - just-in-time provisioning: a device whose certificate a registered CA has
//     signed is provisioned when it first connects ([Service.JustInTime]);
//   - bulk: a file of parameters, a line a device ([Service.Bulk]), or as a task
//     that is stored, with a report, and goes on after a restart ([Service.StartTask]);
//   - by hand: [Service.RegisterThing].
//
// A template, its values and what becomes of them:
//
//	t, err := provision.Parse(body)
//	plan, err := t.Resolve(map[string]string{"SerialNumber": "7"})
//	result, err := service.Apply(ctx, plan)
//
// Templates are those of AWS IoT; package provisionhttp below serves the
// operations on them.
package provision
