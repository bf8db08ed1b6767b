package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"golang.org/x/sync/errgroup"
)

// A simulator runs sensors that connect as real devices do: over TLS, each
// with a certificate of its own, through the same port as everybody.
type simulator struct {
	addr     string // host:port of MQTT over TLS
	every    time.Duration
	identity func(ctx context.Context, thing string) (*tls.Config, error)
	log      *slog.Logger
}

// Run runs n sensors until ctx is done.
func (s *simulator) Run(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error { return s.sensor(ctx, fmt.Sprintf("sim-%03d", i+1), uint64(i)) })
	}
	return group.Wait()
}

func (s *simulator) sensor(ctx context.Context, thing string, seed uint64) error {
	tlsConfig, err := s.identity(ctx, thing)
	if err != nil {
		return fmt.Errorf("identity of %s: %w", thing, err)
	}
	server, err := url.Parse("mqtts://" + s.addr)
	if err != nil {
		return err
	}
	var every atomic.Int64 // nanoseconds between readings
	every.Store(int64(s.every))
	delta := "$aws/things/" + thing + "/shadow/update/delta"
	config := "devices/" + thing + "/config"
	// Answers go out from the sensor's own loop: paho's read loop must not wait.
	answers := make(chan json.RawMessage, 16)

	up := make(chan struct{}, 1)
	client, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{server},
		TlsCfg:                        tlsConfig,
		KeepAlive:                     30,
		CleanStartOnInitialConnection: false,
		SessionExpiryInterval:         3600,
		ConnectTimeout:                10 * time.Second,
		ReconnectBackoff:              autopaho.NewConstantBackoff(time.Second),
		OnConnectionUp: func(c *autopaho.ConnectionManager, _ *paho.Connack) {
			// From a goroutine of its own: this callback may not wait for an answer.
			go func() {
				if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: delta, QoS: 1}, {Topic: config, QoS: 1}}}); err != nil {
					s.log.Warn("simulated sensor: subscribe", "thing", thing, "err", err)
					return
				}
				select {
				case up <- struct{}{}:
				default:
				}
			}()
		},
		OnConnectError: func(err error) { s.log.Warn("simulated sensor: connect", "thing", thing, "err", err) },
		ClientConfig: paho.ClientConfig{
			ClientID: thing,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
				body := json.RawMessage(r.Packet.Payload)
				if r.Packet.Topic == delta {
					var d struct {
						State struct{ Config json.RawMessage }
					}
					if json.Unmarshal(body, &d) != nil || d.State.Config == nil {
						return true, nil
					}
					body = d.State.Config
				}
				select {
				case answers <- body:
				default: // the sensor is behind; the delta comes again with the next update
				}
				return true, nil
			}},
		},
	})
	if err != nil {
		return err
	}
	defer func() { <-client.Done() }()

	publish := func(topic string, v any) {
		payload, err := json.Marshal(v)
		if err != nil {
			s.log.Error("simulated sensor", "thing", thing, "err", err)
			return
		}
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if _, err := client.Publish(bounded, &paho.Publish{Topic: topic, QoS: 1, Payload: payload}); err != nil && ctx.Err() == nil {
			s.log.Warn("simulated sensor: publish", "thing", thing, "topic", topic, "err", err)
		}
	}
	report := func(reported map[string]any) {
		publish("$aws/things/"+thing+"/shadow/update", map[string]any{"state": map[string]any{"reported": reported}})
	}

	climate := newClimate(seed)
	// Sensors are not in step with one another.
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(s.every))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-up:
			report(map[string]any{"firmware": "1.4.2", "config": map[string]any{"intervalSeconds": time.Duration(every.Load()).Seconds()}})
		case body := <-answers:
			var c deviceConfig
			dec := json.NewDecoder(strings.NewReader(string(body)))
			if err := dec.Decode(&c); err != nil {
				s.log.Warn("simulated sensor: config", "thing", thing, "err", err)
				continue
			}
			if c.IntervalSeconds != nil {
				every.Store(int64(float64(time.Second) * *c.IntervalSeconds))
			}
			report(map[string]any{"config": body})
		case now := <-timer.C:
			timer.Reset(time.Duration(every.Load()))
			temperature, humidity := climate.next(now)
			publish("sensors/"+thing+"/climate", map[string]any{"temperature": temperature, "humidity": humidity, "ts": now.UnixMilli()})
		}
	}
}

// A climate drifts as a room does: it is pulled back to where it belongs, has
// a slow swing of its own, and a heat wave now and then.
type climate struct {
	random *rand.Rand
	home   float64
	phase  float64
	value  float64
	heat   float64
}

func newClimate(seed uint64) *climate {
	r := rand.New(rand.NewPCG(seed, 1))
	home := 19 + 6*r.Float64()
	return &climate{random: r, home: home, phase: 2 * math.Pi * r.Float64(), value: home}
}

func (c *climate) next(now time.Time) (temperature, humidity float64) {
	swing := 1.5 * math.Sin(2*math.Pi*float64(now.Unix()%600)/600+c.phase)
	if c.heat < 0.1 && c.random.Float64() < 0.002 {
		c.heat = 8 + 6*c.random.Float64()
	}
	c.heat *= 0.985
	c.value += 0.08*(c.home+swing+c.heat-c.value) + 0.12*c.random.NormFloat64()
	round := func(v float64) float64 { return math.Round(v*100) / 100 }
	return round(c.value), round(min(95, max(15, 70-1.4*(c.value-15)+c.random.NormFloat64())))
}
