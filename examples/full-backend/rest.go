package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/telemetry"
)

// createDevice makes a thing, a certificate and its key, which is answered
// this once and not kept.
func (b *backend) createDevice(w http.ResponseWriter, r *http.Request) {
	cert, keys, err := b.provision(r.Context(), r.PathValue("thing"), registry.RSA2048)
	if errors.Is(err, registry.ErrInvalid) {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, http.StatusCreated, map[string]string{
		"thing": r.PathValue("thing"), "certificateId": cert.ID, "certificatePem": cert.PEM,
		"privateKeyPem": string(keys.PrivatePEM), "caPem": string(b.ids.ca.CertificatePEM()),
	})
}

// revokeDevice revokes all certificates of a thing; its connections end at once.
func (b *backend) revokeDevice(w http.ResponseWriter, r *http.Request) {
	revoked := []string{}
	for a, err := range b.registry.ThingPrincipals(r.Context(), r.PathValue("thing"), "") {
		if err == nil {
			err = b.registry.UpdateCertificate(r.Context(), a.Principal, registry.StatusRevoked)
		}
		if errors.Is(err, registry.ErrNotFound) {
			refuse(w, http.StatusNotFound, err)
			return
		}
		if err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		revoked = append(revoked, a.Principal)
	}
	answer(w, http.StatusOK, map[string]any{"revoked": revoked})
}

// putConfig is scenario 2: the JSON is checked by a function and then set as
// desired state, or with ?via=topic published to the device's config topic.
func (b *backend) putConfig(w http.ResponseWriter, r *http.Request) {
	thing := r.PathValue("thing")
	text, ok := body(w, r)
	if !ok {
		return
	}
	if _, err := b.registry.Thing(r.Context(), thing); err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	config, err := b.functions.Invoke(r.Context(), "check-config", text)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	switch via := r.URL.Query().Get("via"); via {
	case "topic":
		if err := b.broker.Publish(r.Context(), "devices/"+thing+"/config", config); err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{"published": "devices/" + thing + "/config"})
	case "", "shadow":
		change, err := b.shadows.Update(shadow.WithPrincipal(r.Context(), adminPrincipal), shadow.Ref{Thing: thing}, fmt.Appendf(nil, `{"state":{"desired":{"config":%s}}}`, config))
		if err != nil {
			status, message := shadow.Code(err)
			refuse(w, status, errors.New(message))
			return
		}
		answer(w, http.StatusOK, map[string]any{"version": change.After.Version, "delta": change.Delta})
	default:
		refuse(w, http.StatusBadRequest, fmt.Errorf("via=%q is neither shadow nor topic", via))
	}
}

// A thingView is one row of the fleet.
type thingView struct {
	Thing     string          `json:"thing"`
	Connected bool            `json:"connected"`
	Since     int64           `json:"since,omitempty"` // ms since 1970
	Reported  json.RawMessage `json:"reported,omitempty"`
	Desired   json.RawMessage `json:"desired,omitempty"`
	Version   int64           `json:"version,omitempty"`
}

// maxFleet bounds what the page shows of a large fleet.
const maxFleet = 500

// fleet is the things whose names begin with ?prefix=, with presence and
// classic shadow: the first maxFleet of them.
func (b *backend) fleet(w http.ResponseWriter, r *http.Request) {
	since := map[string]int64{} // by thing
	for c := range b.broker.Clients() {
		if !c.Connected {
			continue
		}
		if thing, err := b.registry.ThingOf(r.Context(), c.Principal, c.ClientID); err == nil && thing != "" {
			since[thing] = c.ConnectedAt.UnixMilli()
		}
	}
	things, more, err := b.things(r.Context(), r.URL.Query().Get("prefix"))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	views := []thingView{}
	for _, name := range things {
		doc, err := b.shadows.Get(r.Context(), shadow.Ref{Thing: name})
		if err != nil && !errors.Is(err, shadow.ErrNotFound) {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		views = append(views, thingView{Thing: name, Since: since[name], Connected: since[name] != 0,
			Reported: doc.Reported, Desired: doc.Desired, Version: doc.Version})
	}
	s := b.broker.Stats()
	answer(w, http.StatusOK, map[string]any{"things": views, "more": more, "online": len(since),
		"messagesIn": s.PublishedQoS0 + s.PublishedQoS1 + s.PublishedQoS2, "lag": b.pipeline.lag()})
}

// things are the first names with that prefix, maxFleet at most, and whether
// there are more.
func (b *backend) things(ctx context.Context, prefix string) (names []string, more bool, err error) {
	first, err := b.registry.Thing(ctx, prefix) // Things begins after a name
	if err == nil {
		names = append(names, first.Name)
	}
	for t, err := range b.registry.Things(ctx, registry.ThingQuery{After: prefix}) {
		if err != nil {
			return nil, false, err
		}
		if !strings.HasPrefix(t.Name, prefix) {
			break // in the order of names
		}
		if len(names) == maxFleet {
			return names, true, nil
		}
		names = append(names, t.Name)
	}
	return names, false, nil
}

// metrics are the windows that ended lately, ?limit= of them for each thing on
// the page, oldest first.
func (b *backend) metrics(w http.ResponseWriter, r *http.Request) {
	things, _, err := b.things(r.Context(), "")
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	most := number(r.URL.Query().Get("limit"), 120)
	from := strconv.FormatInt(time.Now().Add(-time.Duration(most)*time.Duration(b.cfg.Window)-time.Minute).UnixMilli(), 10)
	all := []json.RawMessage{}
	for _, thing := range things {
		var of []json.RawMessage
		for row, err := range b.tables.Rows(r.Context(), "metrics", table.Range{Key: thing, AfterKey: thing, AfterSort: from}) {
			if err != nil {
				refuse(w, http.StatusInternalServerError, err)
				return
			}
			of = append(of, row.Item)
		}
		all = append(all, of[max(0, len(of)-most):]...)
	}
	answer(w, http.StatusOK, all)
}

func (b *backend) notifications(w http.ResponseWriter, r *http.Request) {
	all, err := b.notifier.recent(r.Context(), number(r.URL.Query().Get("limit"), 100))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, http.StatusOK, all)
}

// A ruleView is a rule with its ledger: matched = filtered + delivered +
// pending + deadLettered + failed.
type ruleView struct {
	Rule         string `json:"rule"`
	SQL          string `json:"sql"`
	Disabled     bool   `json:"disabled"`
	Broken       string `json:"broken,omitempty"`
	Matched      uint64 `json:"matched"`
	Filtered     uint64 `json:"filtered"`
	Delivered    uint64 `json:"delivered"`
	Pending      uint64 `json:"pending"`
	DeadLettered uint64 `json:"deadLettered"`
	Failed       uint64 `json:"failed"`

	Reasons     map[rules.Reason]uint64 `json:"reasons,omitempty"` // of deadLettered and failed
	LastFailure string                  `json:"lastFailure,omitempty"`
}

func (b *backend) ruleLedgers(w http.ResponseWriter, _ *http.Request) {
	all := []ruleView{}
	for i := range b.engine.Rules() {
		all = append(all, viewRule(i))
	}
	answer(w, http.StatusOK, all)
}

// ruleLedger is that of one rule.
func (b *backend) ruleLedger(w http.ResponseWriter, r *http.Request) {
	i, err := b.engine.Rule(r.PathValue("rule"))
	if errors.Is(err, rules.ErrNotFound) {
		refuse(w, http.StatusNotFound, err)
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, http.StatusOK, viewRule(i))
}

func viewRule(i rules.Info) ruleView {
	l := i.Ledger
	v := ruleView{Rule: i.Name, SQL: i.SQL, Disabled: i.Disabled, Matched: l.Matched, Filtered: l.Filtered, Delivered: l.Delivered,
		Pending: l.Pending, DeadLettered: l.DeadLettered, Failed: l.Failed, Reasons: l.Reasons}
	if l.LastFailure != nil {
		v.LastFailure = l.LastFailure.Err.Error()
	}
	if i.Broken != nil {
		v.Broken = i.Broken.Error()
	}
	return v
}

// stats are the counters of every part.
func (b *backend) stats(w http.ResponseWriter, _ *http.Request) {
	streams, deliveries := map[string]telemetry.StreamStats{}, map[string]telemetry.StreamStats{}
	for name, s := range b.pipeline.streams {
		streams[name] = s.Stats()
	}
	for name, s := range b.pipeline.deliveries {
		deliveries[name] = s.Stats()
	}
	answer(w, http.StatusOK, map[string]any{
		"jobs": b.jobs.Stats(), "defender": b.defender.Stats(),
		"broker": b.broker.Stats(), "shadow": b.shadows.Stats(), "shadowTopics": b.topics.Stats(), "rules": b.engine.Stats(),
		"actions": b.dispatcher.Stats(), "functions": b.functions.Stats(), "telemetry": b.pipeline.telemetry.Stats(),
		"metrics": b.pipeline.metrics.Stats(), "windows": b.pipeline.aggregate.Stats(), "live": b.pipeline.live.Stats(),
		"streams": streams, "deliveryStreams": deliveries,
	})
}

// tableFailed answers an error of a table.
func tableFailed(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, table.ErrNotFound):
		refuse(w, http.StatusNotFound, err)
	case errors.Is(err, table.ErrInvalid):
		refuse(w, http.StatusBadRequest, err)
	case errors.Is(err, table.ErrExists):
		refuse(w, http.StatusConflict, err)
	default:
		refuse(w, http.StatusInternalServerError, err)
	}
}

// wholeTable answers all rows of a table with their keys; PUT gives it a key
// schema, which the action dynamoDBv2 needs, and DELETE removes it with its rows.
func (b *backend) wholeTable(w http.ResponseWriter, r *http.Request) {
	if !method(w, r, http.MethodGet, http.MethodPut, http.MethodDelete) {
		return
	}
	name := r.PathValue("table")
	var err error
	switch r.Method {
	case http.MethodGet:
		b.scanTable(w, r, name)
		return
	case http.MethodPut:
		text, ok := body(w, r)
		if !ok {
			return
		}
		var s table.Schema
		if s, err = readSchema(text); err == nil {
			err = b.tables.CreateTable(r.Context(), name, s)
		}
	default:
		err = b.tables.DeleteTable(r.Context(), name)
	}
	if err != nil {
		tableFailed(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// readSchema reads {"hashKey":{"name":"thing"},"rangeKey":{"name":"at","type":"NUMBER"}}.
func readSchema(text []byte) (s table.Schema, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("%w schema: %w", table.ErrInvalid, err)
	}
	return s, nil
}

func (b *backend) scanTable(w http.ResponseWriter, r *http.Request, name string) {
	type row struct {
		Key  string          `json:"key"`
		Sort string          `json:"sort,omitempty"`
		Item json.RawMessage `json:"item"`
	}
	all := []row{}
	for t, err := range b.tables.Scan(r.Context(), name) {
		if err != nil {
			tableFailed(w, err)
			return
		}
		all = append(all, row(t))
	}
	answer(w, http.StatusOK, all)
}

// tableKey answers the items of one key in order of their sort keys; PUT and
// DELETE are for the item without sort key.
func (b *backend) tableKey(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		b.tableItem(w, r)
		return
	}
	items := []json.RawMessage{}
	for t, err := range b.tables.Query(r.Context(), r.PathValue("table"), r.PathValue("key")) {
		if err != nil {
			tableFailed(w, err)
			return
		}
		items = append(items, t.Item)
	}
	answer(w, http.StatusOK, items)
}

func (b *backend) tableItem(w http.ResponseWriter, r *http.Request) {
	if !method(w, r, http.MethodGet, http.MethodPut, http.MethodDelete) {
		return
	}
	name, key, sort := r.PathValue("table"), r.PathValue("key"), r.PathValue("sort")
	var item json.RawMessage
	var err error
	switch r.Method {
	case http.MethodPut:
		text, ok := body(w, r)
		if !ok {
			return
		}
		item, err = text, b.tables.Put(r.Context(), name, key, sort, text)
	case http.MethodDelete:
		item, err = json.RawMessage("{}"), b.tables.Delete(r.Context(), name, key, sort)
	default:
		item, err = b.tables.Get(r.Context(), name, key, sort)
	}
	if err != nil {
		tableFailed(w, err)
		return
	}
	answer(w, http.StatusOK, item)
}

func method(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not allowed here", r.Method))
	return false
}
