package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/registryhttp"
)

// byName takes the user name for the certificate that a device has shown.
type byName struct{ *registry.Registry }

func (a byName) Authenticate(ctx context.Context, c broker.Credentials) (string, error) {
	cert, err := a.Certificate(ctx, c.Username)
	if err != nil || cert.Status != registry.StatusActive {
		return "", broker.ErrNotAuthorized
	}
	return c.Username, nil
}

// A wire is a device's connection by hand, over a pipe in a bubble, which
// remembers what it got.
type wire struct {
	t     *testing.T
	conn  net.Conn
	codes map[byte][]byte // reason codes by the first byte of the packet
	got   int             // messages
	ended bool
}

// dialPipe connects a device with a durable session.
func dialPipe(t *testing.T, b *broker.Broker, id, principal string) *wire {
	t.Helper()
	ours, theirs := net.Pipe()
	go b.ServeConn(t.Context(), theirs)
	w := &wire{t: t, conn: ours, codes: map[byte][]byte{}}
	go w.read()
	t.Cleanup(func() { ours.Close() })
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', 5, 0x80, 0, 0, 5, 0x11, 0, 0, 0x0e, 0x10} // user name, session of an hour
	for _, s := range []string{id, principal} {
		body = append(append(body, 0, byte(len(s))), s...)
	}
	w.send(0x10, body)
	return w
}

func (w *wire) send(first byte, body []byte) {
	w.conn.Write(append([]byte{first, byte(len(body))}, body...)) // all of them are short
	synctest.Wait()
}

func (w *wire) read() {
	for {
		var head [2]byte
		if _, err := io.ReadFull(w.conn, head[:]); err != nil {
			w.ended = true
			return
		}
		body := make([]byte, head[1])
		if _, err := io.ReadFull(w.conn, body); err != nil {
			w.ended = true
			return
		}
		code := byte(0)
		switch first := head[0] & 0xf0; first {
		case 0x30:
			w.got++
			if head[0]&0x06 != 0 { // acknowledged
				n := 2 + int(body[1])
				go w.conn.Write([]byte{0x40, 2, body[n], body[n+1]})
			}
			continue
		case 0x20: // CONNACK
			code = body[1]
		case 0x40: // PUBACK
			if len(body) > 2 {
				code = body[2]
			}
		case 0xe0: // DISCONNECT
			if len(body) > 0 {
				code = body[0]
			}
		}
		w.codes[head[0]&0xf0] = append(w.codes[head[0]&0xf0], code)
	}
}

// last is the reason code of the last packet of a kind.
func (w *wire) last(first byte) byte {
	codes := w.codes[first]
	if len(codes) == 0 {
		w.t.Helper()
		w.t.Fatalf("no packet %#x", first)
	}
	return codes[len(codes)-1]
}

func (w *wire) publish(topic string) byte {
	w.t.Helper()
	w.send(0x32, append(append([]byte{0, byte(len(topic))}, topic...), 0, 1, 0))
	return w.last(0x40)
}

func (w *wire) subscribe(filter string) {
	w.send(0x82, append(append([]byte{0, 1, 0, 0, byte(len(filter))}, filter...), 1))
}

// What a device may send and get follows every change at once: when the
// operation is answered, the next message is judged by it, and not a moment of
// (virtual) time has passed. So no second is measured here.
func TestAccessFollowsBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := registry.NewCA(nil)
		if err != nil {
			t.Fatal(err)
		}
		reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: byName{reg}, Authorizer: policy{reg, func(broker.Access) {}}})
		if err != nil {
			t.Fatal(err)
		}
		followAccess(reg, b, slog.New(slog.DiscardHandler))
		control, err := registryhttp.Handler(reg, nil)
		if err != nil {
			t.Fatal(err)
		}
		const arn = "arn:aws:iot:us-east-1:123456789012:"
		do := func(request, body string, header ...string) {
			t.Helper()
			method, path, _ := strings.Cut(request, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			if control.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Fatalf("%s %s: %d %s", request, body, w.Code, w.Body)
			}
		}
		document := func(effect, actions, resource string) string {
			return `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"` + effect + `\",\"Action\":[\"` + strings.ReplaceAll(actions, " ", `\",\"`) + `\"],\"Resource\":\"` + resource + `\"}]}`
		}
		for name, text := range map[string]string{
			"base": document("Allow", "iot:Connect iot:Subscribe", "*"),
			"x":    document("Allow", "iot:Publish iot:Receive", arn+"topic/x"),
			"no":   document("Deny", "iot:Publish iot:Receive", arn+"topic/x"),
			"attr": document("Allow", "iot:Publish iot:Receive", arn+"topic/${iot:Connection.Thing.Attributes[t]}"),
		} {
			do("POST /policies/"+name, `{"policyDocument":"`+text+`"}`)
		}
		device := func(thing string) (id, target string) {
			t.Helper()
			c, _, err := reg.CreateKeysAndCertificate(t.Context(), &registry.KeyOptions{Type: registry.ECP256, Status: registry.StatusActive})
			if err != nil {
				t.Fatal(err)
			}
			target = `{"target":"` + arn + `cert/` + c.ID + `"}`
			do("PUT /target-policies/base", target)
			do("POST /things/"+thing, `{}`)
			do("PUT /things/"+thing+"/principals", "", "x-amzn-principal", arn+"cert/"+c.ID)
			return c.ID, target
		}
		id, cert := device("live")
		do("POST /thing-groups/above", `{}`)
		do("POST /thing-groups/below", `{"parentGroupName":"above"}`)
		group, member := `{"target":"`+arn+`thinggroup/above"}`, `{"thingGroupName":"below","thingName":"live"}`
		principal := []string{"x-amzn-principal", arn + "cert/" + id}

		began := time.Now()
		w := dialPipe(t, b, "live", id)
		w.subscribe("#")
		if w.last(0x20) != 0 || len(w.codes[0x90]) != 1 {
			t.Fatalf("not connected: %v", w.codes)
		}
		send := func() {
			t.Helper()
			if err := b.PublishMessage(t.Context(), broker.Message{Topic: "x", QoS: 1}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for _, step := range []struct {
			name, request, body string
			header              []string
			may                 bool
		}{
			{"a policy attached", "PUT /target-policies/x", cert, nil, true},
			{"and detached", "POST /target-policies/x", cert, nil, false},
			{"attached to a group that it is not in", "PUT /target-policies/x", group, nil, false},
			{"in the group below", "PUT /thing-groups/addThingToThingGroup", member, nil, true},
			{"denied besides", "PUT /target-policies/no", cert, nil, false},
			{"and not denied", "POST /target-policies/no", cert, nil, true},
			{"out of the group", "PUT /thing-groups/removeThingFromThingGroup", member, nil, false},
			{"moved into it", "PUT /thing-groups/updateThingGroupsForThing", `{"thingName":"live","thingGroupsToAdd":["below"]}`, nil, true},
			{"the group loses it", "POST /target-policies/x", group, nil, false},
			{"the group has it again", "PUT /target-policies/x", group, nil, true},
			{"a new default version", "POST /policies/x/version?setAsDefault=true", `{"policyDocument":"` + document("Allow", "iot:Publish iot:Receive", arn+"topic/y") + `"}`, nil, false},
			{"the old one again", "PATCH /policies/x/version/1", "", nil, true},
			{"not the principal of the thing", "DELETE /things/live/principals", "", principal, false},
			{"its principal again", "PUT /things/live/principals", "", principal, true},
			{"the group is gone", "DELETE /thing-groups/below", "", nil, false},
			{"by an attribute that it lacks", "PUT /target-policies/attr", cert, nil, false},
			{"that it has", "PATCH /things/live", `{"attributePayload":{"attributes":{"t":"x"}}}`, nil, true},
			{"with another value", "PATCH /things/live", `{"attributePayload":{"attributes":{"t":"y"}}}`, nil, false},
			{"the older operation", "PUT /principal-policies/x", "", []string{"x-amzn-iot-principal", arn + "cert/" + id}, true},
			{"and its opposite", "DELETE /principal-policies/x", "", []string{"x-amzn-iot-principal", arn + "cert/" + id}, false},
			{"for the end", "PUT /target-policies/x", cert, nil, true},
		} {
			do(step.request, step.body, step.header...)
			w.got = 0
			send()
			if (w.got == 1) != step.may {
				t.Errorf("%s: it got %d messages", step.name, w.got)
			}
			if code := w.publish("x"); (code == 0) != step.may {
				t.Errorf("%s: its message was answered %#x", step.name, code)
			}
		}

		// What waits for one that is away is judged when it comes back.
		w.conn.Close()
		synctest.Wait()
		send()
		do("POST /target-policies/x", cert)
		w = dialPipe(t, b, "live", id)
		if w.got != 0 || w.last(0x20) != 0 {
			t.Errorf("back again it got %d messages", w.got)
		}
		do("PUT /target-policies/x", cert)
		if send(); w.got != 1 {
			t.Errorf("allowed again it got %d messages", w.got)
		}

		// A certificate that is not active has no connection and gets none.
		for thing, status := range map[string]string{"live": "INACTIVE", "other": "REVOKED"} {
			if thing != "live" {
				id, cert = device(thing)
				do("PUT /target-policies/x", cert)
				w = dialPipe(t, b, thing, id)
				w.subscribe("#")
			}
			w.got = 0
			do("PUT /certificates/"+id+"?newStatus="+status, "")
			send()
			if !w.ended || w.last(0xe0) != 0x87 || w.got != 0 {
				t.Errorf("%s: ended %v with %v, %d messages", status, w.ended, w.codes[0xe0], w.got)
			}
			if w = dialPipe(t, b, thing, id); w.last(0x20) != 0x87 || !w.ended {
				t.Errorf("%s: connected again with %#x", status, w.last(0x20))
			}
		}
		if passed := time.Since(began); passed != 0 {
			t.Errorf("all of it took %v", passed)
		}
	})
}
