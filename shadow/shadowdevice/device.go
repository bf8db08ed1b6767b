package shadowdevice

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/shadow"
)

// A Conn is the part of an MQTT client that a Device uses. An
// *autopaho.ConnectionManager has it, and a *paho.Client.
type Conn interface {
	Subscribe(ctx context.Context, s *paho.Subscribe) (*paho.Suback, error)
	Publish(ctx context.Context, p *paho.Publish) (*paho.PublishResponse, error)
}

// An Apply makes the device do what is desired and returns what the device is
// then, all of it. want is what it last was with the delta merged into it; delta
// is that alone, as JSON, where zero values must be told from absent ones. An
// error calls it again after a pause, with what is desired then. It runs on the
// goroutine of Run, and must not wait for Report.
type Apply[T any] func(ctx context.Context, want T, delta json.RawMessage) (is T, err error)

// A Device is one shadow seen from its device. T is what encoding/json makes of
// a section, as a rule a struct with json tags; what a document holds beyond T
// is left alone. Methods may be called from many goroutines.
type Device[T any] struct {
	ref   shadow.Ref
	base  string // of the topics
	apply Apply[T]
	opts  Options
	stats counters
	wake  chan struct{} // has an element when Run may have something to do

	mu       sync.Mutex
	conn     Conn                    // nil while Run does not run
	up       chan struct{}           // closed once the document is known on this connection
	lost     chan struct{}           // closed when the connection is another one
	waiting  map[string]chan<- reply // requests by client token
	fresh    bool                    // subscribed on this connection
	synced   bool                    // and the document asked for since
	gone     bool                    // the shadow was deleted: its versions may begin anew
	version  int64                   // the newest seen
	pending  *delta                  // to be applied
	reported json.RawMessage         // as the service has it
	is       *T                      // the device's state; nil until someone tells
	tried    attempt                 // the last one applied
	changed  uint64                  // counts what is was set to
	told     uint64                  // and which of these the service has, or refuses
	refusal  error                   // of the last one told
	news     chan struct{}           // closed when told grows
}

// A delta is a message of update/delta, or that part of a document.
type delta struct {
	Version     int64
	State       json.RawMessage
	ClientToken string
}

// An attempt is what Apply was last asked for, and the report of what came of
// it. A delta that this report causes and that asks for the same is beyond the
// device.
type attempt struct {
	state  json.RawMessage
	number uint64 // of changed
	token  string // of the report
}

type reply struct {
	payload  []byte
	rejected bool
}

// New returns the device side of ref. It does no I/O: Run does.
func New[T any](ref shadow.Ref, apply Apply[T], opts *Options) (*Device[T], error) {
	if err := ref.Check(); err != nil {
		return nil, err
	}
	if apply == nil {
		return nil, errors.New("shadowdevice: New needs an Apply")
	}
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	base := "$aws/things/" + ref.Thing + "/shadow/"
	if ref.Name != "" {
		base += "name/" + ref.Name + "/"
	}
	return &Device[T]{
		ref: ref, base: base, apply: apply, opts: o, wake: make(chan struct{}, 1), up: make(chan struct{}), lost: make(chan struct{}),
		waiting: map[string]chan<- reply{}, news: make(chan struct{}),
	}, nil
}

// Attach puts Receive and Connected into the configuration of a connection,
// before what is there for new connections and behind what is there for messages.
// Several devices may be attached to one.
func (d *Device[T]) Attach(config *autopaho.ClientConfig) {
	next := config.OnConnectionUp
	config.OnConnectionUp = func(m *autopaho.ConnectionManager, ack *paho.Connack) {
		d.Connected()
		if next != nil {
			next(m, ack)
		}
	}
	config.OnPublishReceived = append(config.OnPublishReceived, d.Receive)
}

// Connected says that there is a new connection, on which nothing is subscribed
// to. Only needed without Attach; Run begins as if it had been called.
func (d *Device[T]) Connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renew()
	d.rouse()
}

// renew forgets what belongs to a connection. d.mu is held.
func (d *Device[T]) renew() {
	d.forget()
	close(d.lost)
	d.lost = make(chan struct{})
	d.fresh = false
}

// forget says that the document is not known any more. Who waits for it waits on. d.mu is held.
func (d *Device[T]) forget() {
	if d.synced {
		d.synced, d.up = false, make(chan struct{})
	}
}

// rouse makes Run look. d.mu is held or not.
func (d *Device[T]) rouse() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Set tells what the device is now, without waiting. It is written as soon as
// there is a connection; of several the last one.
func (d *Device[T]) Set(is T) { d.set(is) }

func (d *Device[T]) set(is T) (number uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is = &is
	d.changed++
	d.rouse()
	return d.changed
}

// Report is Set that returns when the service has this state or a later one, or
// refuses it with a *shadow.RequestError. If ctx ends first the state is still
// written later.
func (d *Device[T]) Report(ctx context.Context, is T) error {
	number := d.set(is)
	for {
		d.mu.Lock()
		told, err, news := d.told, d.refusal, d.news
		d.mu.Unlock()
		if told >= number {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Is returns what the device is, as it last told; false before it did.
func (d *Device[T]) Is() (is T, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.is == nil {
		return is, false
	}
	return *d.is, true
}
