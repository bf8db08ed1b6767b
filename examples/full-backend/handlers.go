package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerhttp"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/rules/ruleshttp"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowhttp"
	"github.com/thingloom/thingloom/telemetry/telemetryhttp"
)

//go:embed web
var web embed.FS

// adminHandler is the page and the REST API: reading is open to whoever reaches
// a loopback listener, everything else needs the admin token.
func (b *backend) adminHandler() (http.Handler, error) {
	page, err := fs.Sub(web, "web")
	if err != nil {
		return nil, err
	}
	publish, err := brokerhttp.New(b.broker, &brokerhttp.Options{
		Authorize: func(*http.Request, brokerhttp.Access) (string, error) { return adminPrincipal, nil }, Logger: b.log,
	})
	if err != nil {
		return nil, err
	}
	read, write := b.ids.admin.read, b.ids.admin.write
	aws, err := b.awsHandler()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.Handler{
		"GET /{$}":                    http.FileServerFS(page),
		"GET /app.js":                 http.FileServerFS(page),
		"GET /style.css":              http.FileServerFS(page),
		"GET /api/fleet":              http.HandlerFunc(b.fleet),
		"GET /api/metrics":            http.HandlerFunc(b.metrics),
		"GET /api/notifications":      http.HandlerFunc(b.notifications),
		"GET /api/rules":              http.HandlerFunc(b.ruleLedgers),
		"GET /api/rules/{rule}":       http.HandlerFunc(b.ruleLedger),
		"GET /api/stats":              http.HandlerFunc(b.stats),
		"GET /api/live/fleet":         telemetryhttp.Events(b.changes, nil),
		"GET /api/live/metrics":       telemetryhttp.Events(b.pipeline.live, nil),
		"GET /api/live/notifications": telemetryhttp.Events(b.notifier.live, nil),
		"GET /bucket/":                http.StripPrefix("/bucket/", telemetryhttp.Files(b.pipeline.bucket, nil)),
	} {
		mux.Handle(pattern, read(h))
	}
	shadows := shadowhttp.Handler(b.shadows, &shadowhttp.Options{Authorize: func(*http.Request, string, string) (string, error) { return adminPrincipal, nil }, Logger: b.log})
	topicRules := ruleshttp.Handler(b.engine, &ruleshttp.Options{Region: b.region(), Account: b.account(), RequireRoles: true, Logger: b.log})
	for pattern, h := range map[string]http.Handler{
		"POST /devices/{thing}":                               http.HandlerFunc(b.createDevice),
		"POST /devices/{thing}/revoke":                        http.HandlerFunc(b.revokeDevice),
		"PUT /devices/{thing}/config":                         http.HandlerFunc(b.putConfig),
		"GET /api/streams":                                    http.HandlerFunc(b.listStreams),
		"/api/streams/{stream}":                               http.HandlerFunc(b.readStream),
		"/tables/{table}":                                     http.HandlerFunc(b.wholeTable),
		"/tables/{table}/{key}":                               http.HandlerFunc(b.tableKey),
		"/tables/{table}/{key}/{sort}":                        http.HandlerFunc(b.tableItem),
		"/things/{thing}/shadow":                              shadows,
		"/api/things/shadow/ListNamedShadowsForThing/{thing}": shadows,
		"POST /registrations":                                 http.HandlerFunc(b.registrations),
		"/rules":                                              topicRules,
		"/rules/":                                             topicRules,
		"/":                                                   aws,
	} {
		mux.Handle(pattern, write(h))
	}
	publishing := write(publish)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Before the mux, which would redirect topics with empty levels.
		if brokerhttp.Serves(r) {
			publishing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}

// deviceHandler is what devices reach over mutual TLS: MQTT over WebSocket,
// publishing and their shadows over HTTPS. The registry's policies decide.
func (b *backend) deviceHandler(ws http.Handler) http.Handler {
	allowed := func(r *http.Request, action, resource string) (string, error) {
		principal, err := b.registry.PrincipalOf(r.Context(), r.TLS.PeerCertificates[0])
		if err != nil {
			return "", err
		}
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		thing, err := b.registry.ThingOf(r.Context(), principal, "")
		if err != nil {
			return "", err
		}
		return principal, b.registry.Allowed(r.Context(), registry.Access{Principal: principal, Action: action, Resource: resource, SourceIP: host, Thing: thing})
	}
	publish, err := brokerhttp.New(b.broker, &brokerhttp.Options{Logger: b.log, Authorize: func(r *http.Request, a brokerhttp.Access) (string, error) {
		principal, err := allowed(r, a.Action, a.Resource())
		if errors.Is(err, registry.ErrNotAuthorized) {
			err = broker.ErrNotAuthorized
		}
		return principal, err
	}})
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	shadows := shadowhttp.Handler(b.shadows, &shadowhttp.Options{Logger: b.log, Authorize: func(r *http.Request, action, resource string) (string, error) {
		principal, err := allowed(r, action, resource)
		if errors.Is(err, registry.ErrNotAuthorized) {
			err = shadow.ErrForbidden
		}
		return principal, err
	}})
	mux := http.NewServeMux()
	deviceJobs := b.deviceJobs(allowed)
	mux.Handle("/mqtt", ws)
	mux.Handle("/things/{thing}/jobs", deviceJobs)
	mux.Handle("/things/{thing}/jobs/{job}", deviceJobs)
	mux.Handle("/", shadows)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if brokerhttp.Serves(r) {
			publish.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"message": err.Error()})
}

// maxBody bounds what the REST API reads.
const maxBody = 512 << 10

// body reads a request's body, or answers and reports false.
func body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is above %d bytes", maxBody))
		return nil, false
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return nil, false
	}
	return b, true
}
