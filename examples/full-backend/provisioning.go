package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry/provision"
	"github.com/thingloom/thingloom/registry/registrypebble"
)

// openProvisioning lets new devices in: by claim over MQTT, just in time by
// the CA that signed them, and by the file.
func (b *backend) openProvisioning(ctx context.Context) error {
	store, err := registrypebble.Open(ctx, b.db, "provision/", nil)
	if err != nil {
		return err
	}
	if b.provisioning, err = provision.New(b.registry, store, &provision.Options{Input: b.imports, Logger: b.log}); err != nil {
		return err
	}
	b.provisioning.JustInTime()
	if tried, err := b.provisioning.Resume(ctx); err != nil {
		b.log.Warn("just-in-time provisioning that was interrupted", "tried", tried, "err", err)
	}
	_, err = provision.Serve(b.provisioning, claimBus{b.broker})
	return err
}

// imports opens the files of registration tasks: a bucket is a folder below
// imports in the data folder, whose files somebody has put there.
func (b *backend) imports(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(b.cfg.path("imports"))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(path.Join(bucket, key))
}

// claimBus lets provisioning answer one client alone.
type claimBus struct{ *broker.Broker }

func (b claimBus) Handle(filter string, h func(context.Context, provision.Request) error) (func(), error) {
	return b.SubscribeMessages(filter, func(ctx context.Context, m broker.Message) error {
		return h(ctx, provision.Request{Topic: m.Topic, ClientID: m.ClientID, Principal: m.Principal, Payload: m.Payload})
	})
}

func (b claimBus) Answer(ctx context.Context, clientID, topic string, payload []byte) error {
	return b.PublishTo(ctx, clientID, broker.Message{Topic: topic, Payload: payload, QoS: 1})
}

// maxRegistrations bounds the file of a bulk registration.
const maxRegistrations = 1 << 30

// registrations is bulk registration by a stored template: the body has a JSON
// object of parameters a line. Each line is answered as soon as it is done, and
// the counts at the end; so the answer is progress display, result and report
// of failures at once:
//
//	curl -T things.jsonl 'http://.../registrations?template=fleet'
func (b *backend) registrations(w http.ResponseWriter, r *http.Request) {
	stored, err := b.provisioning.Template(r.Context(), r.URL.Query().Get("template"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	version, err := stored.Version(0)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	report, err := b.provisioning.Bulk(r.Context(), version.Body, http.MaxBytesReader(w, r.Body, maxRegistrations), 0, func(one provision.BulkResult) {
		line := struct {
			Line        int    `json:"line"`
			Thing       string `json:"thing,omitempty"`
			Certificate string `json:"certificateId,omitempty"`
			PEM         string `json:"certificatePem,omitempty"`
			Error       string `json:"error,omitempty"`
		}{one.Line, one.Thing, one.CertificateID, one.CertificatePEM, ""}
		if one.Err != nil {
			line.Error = one.Err.Error()
		}
		if lines.Encode(line) == nil {
			_ = control.Flush() // the client is gone: so will r.Context be
		}
	})
	end := struct {
		Registered int    `json:"registered"`
		Failed     int    `json:"failed"`
		Error      string `json:"error,omitempty"` // what ended it early
	}{report.Registered, report.Failed, ""}
	if err != nil {
		end.Error = fmt.Sprint(err)
	}
	if err := lines.Encode(end); err != nil {
		b.log.Info("bulk registration: the client is gone", "err", err)
	}
}
