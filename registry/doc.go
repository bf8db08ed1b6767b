// Package registry knows things, thing types, groups, certificates and
// policies, and decides what a principal may do, as AWS IoT does.
//
//	ca, err := registry.NewCA(nil)
//	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
//
//	thing, err := reg.CreateThing(ctx, registry.Thing{Name: "lamp-7"})
//	cert, keys, err := reg.CreateKeysAndCertificate(ctx, &registry.KeyOptions{Status: registry.StatusActive})
//	_, err = reg.CreatePolicy(ctx, "device", `{"Version": "2012-10-17", "Statement": [...]}`)
//	err = reg.AttachPolicy(ctx, "device", cert.ID)
//	err = reg.AttachPrincipal(ctx, thing.Name, cert.ID)
//
//	principal, err := reg.PrincipalOf(ctx, clientCertificate) // who is this?
//	err = reg.Allowed(ctx, registry.Access{                   // may it?
//		Principal: principal, ClientID: "lamp-7", Action: "iot:Connect", Resource: "client/lamp-7"})
//
// # Principals
//
// A principal is who a connection acts as: the ID of a registered
// certificate, which is the hex SHA-256 of its DER encoding, or any other
// name that policies are attached to, such as a user. Trust in a certificate
// comes from its registration and not from a chain, so a TLS server in front
// asks for a client certificate of any kind (tls.RequireAnyClientCert) and
// leaves the rest to PrincipalOf, once hands are shaken: tls.Config's
// VerifyConnection is called before the client has proved to have the key, so
// there CheckCertificate may refuse, and nothing may be registered.
//
// # Decisions
//
// Allowed asks the default versions of the policies attached to the
// principal, and to the groups of the thing it acts as, and of the groups
// above them. The thing is the one named as the client ID, if it is attached
// to the principal, or the one the principal is tied to exclusively. An
// explicit Deny wins, then an Allow, else it is denied. TestAuthorization
// says why.
//
// # Changes reach live sessions
//
// Compiled policies are cached per principal, and a change made through the
// Registry counts from the moment the call returns. Observe tells of every
// change; Event.Access says whose cached answers are out of date, so that a
// broker can ask again, and the events of a certificate carry its status, so
// that the sessions of a revoked one can be cut.
//
// # Storage
//
// A Store is an ordered key space with atomic conditional writes; all
// meaning is in this package. Every change is one call of Store.Apply that
// checks all that was read for it, so that it is made whole or not at all,
// and concurrent changes never undermine one another: no attachment of a
// policy that is being deleted, no eleventh group. One change is longer than
// one Apply: the members of a deleted group are released one by one, which
// goes on after a crash when the group is made again or a member is looked
// at for a group.
//
// A Store belongs to one Registry at a time, because of the cache.
//
// # Limits
//
// Those of AWS: 3 attributes of a thing without type and 50 with one, 47 KiB
// of them; 10 groups of a thing, one in each tree; 7 levels and 100 children
// of groups; 10 policies of a certificate, 2 of a group; 5 versions and 2048
// characters of a policy.
package registry
