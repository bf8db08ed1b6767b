package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionspebble"
	"github.com/thingloom/thingloom/actions/function"
	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/actions/table/tablepebble"
	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
	"github.com/thingloom/thingloom/registry/dynamicgroup"
	"github.com/thingloom/thingloom/registry/fleetindex"
	"github.com/thingloom/thingloom/registry/jobs"
	"github.com/thingloom/thingloom/registry/provision"
	"github.com/thingloom/thingloom/registry/registrypebble"
	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/rules/rulespebble"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
	"github.com/thingloom/thingloom/shadow/shadowpebble"
	"github.com/thingloom/thingloom/telemetry"
)

// A backend is the packages, assembled over one database.
type backend struct {
	cfg Config
	log *slog.Logger
	db  *pebble.DB
	ids *identities

	registry     *registry.Registry
	provisioning *provision.Service
	jobs         *jobs.Service
	defender     *defender.Service
	watcher      *watcher
	index        *fleetindex.Index
	dynamic      *dynamicgroup.Service
	custom       *broker.CustomAuth
	broker       *broker.Broker
	shadows      *shadow.Service
	topics       *shadowmqtt.Endpoint
	tables       *table.Tables
	functions    *function.Functions
	dispatcher   *actions.Dispatcher
	engine       *rules.Engine
	pipeline     *pipeline
	notifier     *notifier
	changes      *telemetry.Live // things whose row on the page is out of date
}

// open assembles the backend bottom-up. It starts nothing that runs on.
func open(ctx context.Context, cfg Config, logger *slog.Logger) (b *backend, err error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, err
	}
	b = &backend{cfg: cfg, log: logger}
	db, err := openDB(cfg.path("db"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	b.db = db
	if b.ids, err = loadIdentities(cfg, logger); err != nil {
		return nil, err
	}
	if err := b.openDevices(ctx); err != nil {
		return nil, err
	}
	if err := b.openProvisioning(ctx); err != nil {
		return nil, err
	}
	if err := b.openOperations(ctx); err != nil {
		return nil, err
	}
	if err := b.watchFleet(); err != nil {
		return nil, err
	}
	b.tables = table.New(tablepebble.New(b.db, "tables/"))
	if b.pipeline, err = openPipeline(b.db, cfg, b.tables, logger); err != nil {
		return nil, err
	}
	if err := b.openRules(ctx); err != nil {
		return nil, err
	}
	return b, b.seed(ctx)
}

func openDB(dir string) (*pebble.DB, error) {
	cache := pebble.NewCache(64 << 20)
	defer cache.Unref()
	opts := &pebble.Options{
		Cache: cache, MemTableSize: 32 << 20, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 2, L0StopWritesThreshold: 1000, LBaseMaxBytes: 64 << 20,
		FormatMajorVersion: pebble.FormatNewest, Logger: quiet{},
	}
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = 32 << 10
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("database %s (is another process using it?): %w", dir, err)
	}
	return db, nil
}

// quiet keeps pebble's own log off the terminal; what matters comes back as errors.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// openDevices opens what devices talk to: registry, broker, shadows.
func (b *backend) openDevices(ctx context.Context) error {
	store, err := registrypebble.Open(ctx, b.db, "registry/", nil)
	if err != nil {
		return err
	}
	if b.registry, err = registry.New(store, &registry.Options{CA: b.ids.ca, Logger: b.log}); err != nil {
		return err
	}
	sessions, err := brokerpebble.Open(ctx, b.db, "broker/", nil)
	if err != nil {
		return err
	}
	b.watcher = &watcher{registry: b.registry}
	opts := &broker.Options{LifecycleEvents: true}
	if b.cfg.AWSLimits {
		opts = broker.AWSProfile()
	}
	if b.custom, err = b.customAuth(authenticator{b.registry, b.cfg.Plain, b.cfg.Unix}); err != nil {
		return err
	}
	opts.Authenticator, opts.Authorizer = b.custom, policy{b.registry, b.watcher.denied}
	opts.Trace = &broker.Trace{Connected: b.watcher.connected, Disconnected: b.watcher.disconnected, Refused: b.watcher.refused,
		Published: b.watcher.sent, Delivered: b.watcher.received}
	opts.Hooks = &broker.Hooks{OnPublish: b.propagate}
	opts.SysInterval, opts.MaxMemoryBytes, opts.Logger = time.Duration(b.cfg.Sys), int64(b.cfg.MaxMemory), b.log
	if b.broker, err = broker.New(sessions, opts); err != nil {
		return err
	}
	followAccess(b.registry, b.broker, b.log)
	documents := shadowpebble.New(b.db, "shadow/", nil)
	limits := &shadow.Options{Principal: broker.Publisher, Logger: b.log}
	if b.cfg.AWSLimits {
		limits.MaxRate = 20
	}
	if b.shadows, err = shadow.New(documents, limits); err != nil {
		return err
	}
	if err := b.openIndex(ctx, documents); err != nil {
		return err
	}
	b.topics, err = shadowmqtt.New(b.shadows, b.broker, &shadowmqtt.Options{Logger: b.log})
	return err
}

// openRules opens what messages go through: functions, actions, rules.
func (b *backend) openRules(ctx context.Context) (err error) {
	b.notifier = newNotifier(b.tables)
	b.functions, err = function.New(map[string]function.Func{
		"check-threshold": b.checkThreshold,
		"check-user":      b.checkUser,
		"check-config":    func(_ context.Context, event []byte) ([]byte, error) { return checkConfig(event) },
	}, nil)
	if err != nil {
		return err
	}
	catalog, err := b.catalog()
	if err != nil {
		return err
	}
	b.dispatcher, err = actions.NewDispatcher(catalog, &actions.Options{
		Queues:     actionspebble.New(b.db, "actions/", nil),
		DeadLetter: deadLetters{b.tables},
		Settled:    b.settled,
		Middleware: []actions.Middleware{atDepth},
		Logger:     b.log,
	})
	if err != nil {
		return err
	}
	if b.cfg.NotifyURL != "" {
		params := `{"title":"${thing} is too hot","message":"${message}","priority":4,"tags":["thermometer"]}`
		if b.notifier.push, err = b.dispatcher.Open(ctx, "notify", []byte(params)); err != nil {
			return err
		}
	}
	store, err := rulespebble.New(b.db, []byte("rules/"))
	if err != nil {
		return err
	}
	b.engine, err = rules.Open(ctx, store, binder{b.dispatcher, newBatches()}, &rules.Options{
		Compile: &rules.CompileOptions{Funcs: b.functionsOfSQL(), AccountID: b.account()}, Logger: b.log,
		// What a PUBACK acknowledges is not to be lost: a publisher waits for its rules' functions, each of which has a time limit.
		Patience: time.Minute,
	})
	if err != nil {
		return err
	}
	for _, filter := range []string{"#", "$aws/#"} {
		if _, err := b.broker.SubscribeMessages(filter, toRules(b.engine)); err != nil {
			return err
		}
	}
	return nil
}

// close frees what open took, once nothing runs any more.
func (b *backend) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// A function that never returns is not to hold the databases open; serve has waited longer than a function may take.
	return errors.Join(b.engine.Shutdown(ctx), b.topics.Close(), b.index.Close(context.Background()), b.db.Close())
}

// settled tells the rules what became of a request of an earlier process.
func (b *backend) settled(r *actions.Request, err error) {
	if r.Rule == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m := &rules.Message{Topic: r.Topic, ClientID: r.ClientID, Principal: r.Principal, SourceIP: r.SourceIP, TraceID: r.TraceID, Payload: r.Source, Time: r.Time}
	if p := r.Properties; p != nil { // templates of the error action see them
		m.Properties = rules.Properties{UTF8: p.UTF8, ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData}
		for _, u := range p.User {
			m.Properties.User = append(m.Properties.User, rules.UserProperty(u))
		}
	}
	if err := b.engine.Settle(ctx, rules.Settlement{ID: r.ID, Message: m, Hops: r.Hops, Err: outcome(err)}); err != nil {
		b.log.Warn("outcome of an earlier request", "rule", r.Rule, "err", err)
	}
}
