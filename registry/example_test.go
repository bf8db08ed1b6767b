package registry_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"

	"github.com/thingloom/thingloom/registry"
)

func Example() {
	ctx := context.Background()
	ca, err := registry.NewCA(nil)
	if err != nil {
		log.Fatal(err)
	}
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
	if err != nil {
		log.Fatal(err)
	}

	// A device gets a certificate, a thing and a policy.
	cert, _, err := reg.CreateKeysAndCertificate(ctx, &registry.KeyOptions{Type: registry.ECP256, Status: registry.StatusActive})
	if err != nil {
		log.Fatal(err)
	}
	_, err = reg.CreateThing(ctx, registry.Thing{Name: "lamp-7", Attributes: map[string]string{"room": "kitchen"}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = reg.CreatePolicy(ctx, "device", `{"Version": "2012-10-17", "Statement": [{
		"Effect": "Allow", "Action": "iot:Publish",
		"Resource": "arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.Attributes[room]}/*"}]}`)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(reg.AttachPolicy(ctx, "device", cert.ID), reg.AttachPrincipal(ctx, "lamp-7", cert.ID)); err != nil {
		log.Fatal(err)
	}

	// It connects: who is this, and what may it do?
	block, _ := pem.Decode([]byte(cert.PEM))
	presented, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}
	principal, err := reg.PrincipalOf(ctx, presented)
	if err != nil {
		log.Fatal(err)
	}
	for _, topic := range []string{"kitchen/light", "hall/light"} {
		fmt.Println(topic, reg.Allowed(ctx, registry.Access{Principal: principal, ClientID: "lamp-7", Action: "iot:Publish", Resource: "topic/" + topic}))
	}

	if err := reg.UpdateCertificate(ctx, cert.ID, registry.StatusRevoked); err != nil {
		log.Fatal(err)
	}
	_, err = reg.PrincipalOf(ctx, presented)
	fmt.Println(errors.Is(err, registry.ErrRevoked))

	// Output:
	// kitchen/light <nil>
	// hall/light registry: iot:Publish on topic/hall/light: not authorized: no statement allows it
	// true
}
