package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender/defenderhttp"
	"github.com/thingloom/thingloom/registry/dynamicgroup/dynamicgrouphttp"
	"github.com/thingloom/thingloom/registry/fleetindex/fleetindexhttp"
	"github.com/thingloom/thingloom/registry/jobs/jobshttp"
	"github.com/thingloom/thingloom/registry/provision/provisionhttp"
	"github.com/thingloom/thingloom/registry/registryhttp"
)

// connection is what the broker knows of the client that is named as a thing.
func (b *backend) connection(_ context.Context, thing string) (fleetindexhttp.Connection, bool, error) {
	c, err := b.broker.Client(thing)
	if errors.Is(err, broker.ErrNotFound) {
		return fleetindexhttp.Connection{}, false, nil
	}
	return fleetindexhttp.Connection{ClientID: c.ClientID, RemoteAddr: c.RemoteAddr, KeepAlive: c.KeepAlive, SessionExpiry: c.Expiry, CleanSession: c.CleanStart}, err == nil, err
}

// region and account are those of the registry's ARNs, for whatever else has ARNs.
func (b *backend) region() string  { return strings.Split(b.registry.ARN(""), ":")[3] }
func (b *backend) account() string { return strings.Split(b.registry.ARN(""), ":")[4] }

// awsHandler is the control plane of AWS IoT: what no other handler serves
// goes to the registry, which answers unknown operations as AWS does.
func (b *backend) awsHandler() (http.Handler, error) {
	things, err := registryhttp.Handler(b.registry, &registryhttp.Options{
		Endpoint: func(kind string) (string, error) {
			switch kind {
			case "", "iot:Data", "iot:Data-ATS", "iot:Jobs":
				return dialable(b.cfg.HTTPS), nil
			}
			return "", &registry.InvalidError{Field: "endpointType", Reason: fmt.Sprintf("%q is none of iot:Data-ATS, iot:Data, iot:Jobs", kind)}
		},
		Taggers:           b.taggers(),
		TestAuthorizer:    b.testAuthorizer,
		CheckRegistration: provisionhttp.CheckRegistration(b.provisioning),
		Logger:            b.log,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", things)
	provisionhttp.Mount(mux, b.provisioning, &provisionhttp.Options{Logger: b.log})
	jobshttp.Mount(mux, b.jobs, &jobshttp.Options{Logger: b.log})
	fleetindexhttp.Mount(mux, b.index, b.registry, &fleetindexhttp.Options{Connection: b.connection, Logger: b.log})
	dynamicgrouphttp.Mount(mux, b.dynamic, b.registry, &dynamicgrouphttp.Options{Logger: b.log})
	defenderhttp.Mount(mux, b.defender, &defenderhttp.Options{Logger: b.log})
	devices := b.deviceJobs(nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if jobshttp.ForDevice(r) { // two hosts at AWS, with the same paths
			devices.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}
