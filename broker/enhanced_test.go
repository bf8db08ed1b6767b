package broker

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// scram is SCRAM-SHA-256 (RFC 5802, RFC 7677) as an authentication method: what an application writes.
type scram struct{ passwords map[string]string }

const scramName, scramRounds = "SCRAM-SHA-256", 4096

func (s scram) begin(context.Context, Credentials) (Exchange, error) {
	return &scramExchange{s: s}, nil
}

type scramExchange struct {
	s                        scram
	user, first, nonce, bare string
	salt                     []byte
}

func (x *scramExchange) Next(_ context.Context, data []byte) (AuthStep, error) {
	if x.first == "" {
		bare, ok := strings.CutPrefix(string(data), "n,,")
		user, nonce, ok2 := strings.Cut(bare, ",r=")
		if !ok || !ok2 || !strings.HasPrefix(user, "n=") {
			return AuthStep{}, ErrBadCredentials
		}
		x.bare, x.user, x.nonce = bare, user[2:], nonce+rand.Text()
		x.salt = []byte("salt of " + x.user)
		x.first = fmt.Sprintf("r=%s,s=%s,i=%d", x.nonce, base64.StdEncoding.EncodeToString(x.salt), scramRounds)
		return AuthStep{Data: []byte(x.first)}, nil
	}
	without, proof, ok := strings.Cut(string(data), ",p=")
	password, known := x.s.passwords[x.user]
	if !ok || !known || without != "c=biws,r="+x.nonce {
		return AuthStep{}, ErrBadCredentials
	}
	client, server := scramProof(password, x.salt, x.bare+","+x.first+","+without)
	if got, err := base64.StdEncoding.DecodeString(proof); err != nil || !hmac.Equal(got, client) {
		return AuthStep{}, ErrBadCredentials
	}
	return AuthStep{Data: []byte("v=" + base64.StdEncoding.EncodeToString(server)), Done: true, Admission: Admission{Principal: x.user}}, nil
}

func scramProof(password string, salt []byte, message string) (client, server []byte) {
	sign := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramRounds, 32)
	if err != nil {
		panic(err)
	}
	clientKey := sign(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	client = sign(stored[:], message)
	for i := range client {
		client[i] ^= clientKey[i]
	}
	return client, sign(sign(salted, "Server Key"), message)
}

func method(name string, data []byte) []byte {
	b := slices.Concat([]byte{0x15}, str(name))
	if data != nil {
		b = slices.Concat(b, []byte{0x16}, str(string(data)))
	}
	return b
}

func authFrame(code byte, name string, data []byte) []byte {
	return frame(0xF0, []byte{code}, section(method(name, data)))
}

// authData reads an AUTH, or the properties of a CONNACK, and returns the data in it.
func authData(t *testing.T, props []byte) []byte {
	t.Helper()
	i := bytes.Index(props, slices.Concat([]byte{0x15}, str(scramName), []byte{0x16}))
	if i < 0 {
		t.Fatalf("no method and data in %x", props)
	}
	rest := props[i+3+len(scramName)+1:]
	return rest[2 : 2+int(rest[0])<<8+int(rest[1])]
}

// prove is the client's side: it sends first by send, and answers what the broker sends.
func (p *peer) prove(user, password string, send func(first []byte)) {
	p.t.Helper()
	bare := "n=" + user + ",r=" + rand.Text()
	send([]byte("n,," + bare))
	k := p.read()
	if k.first != 0xF0 || k.body[0] != 0x18 {
		p.t.Fatalf("got %v, want AUTH 0x18", k)
	}
	challenge := string(authData(p.t.(*testing.T), k.body[2:]))
	parts := strings.Split(challenge, ",")
	salt, err := base64.StdEncoding.DecodeString(parts[1][2:])
	rounds, err2 := strconv.Atoi(parts[2][2:])
	if err != nil || err2 != nil || rounds != scramRounds {
		p.t.Fatalf("challenge %q", challenge)
	}
	without := "c=biws," + parts[0]
	proof, _ := scramProof(password, salt, bare+","+challenge+","+without)
	p.write(authFrame(0x18, scramName, []byte(without+",p="+base64.StdEncoding.EncodeToString(proof))))
}

func withScram(o *Options) {
	o.AuthMethods = map[string]AuthMethod{scramName: scram{map[string]string{"ann": "secret"}}.begin}
	o.Authenticator = denyAll{} // for the others
}

// connectScram begins with CONNECT.
func (p *peer) connectScram(password string) {
	p.t.Helper()
	p.prove("ann", password, func(first []byte) {
		p.connect(connectOpts{id: "a", props: method(scramName, first)})
	})
}

func TestEnhancedAuthentication(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connectScram("secret")
		_, props := p.connack(0)
		if v := authData(t, props); !strings.HasPrefix(string(v), "v=") {
			t.Errorf("the CONNACK's data is %q", v)
		}
		if info, err := b.Client("a"); err != nil || info.Principal != "ann" {
			t.Errorf("the client is %+v, %v", info, err)
		}
		p.publish(1, 1, "t", "before")
		// Again, with traffic in between [MQTT-4.12.1-1].
		p.prove("ann", "secret", func(first []byte) { p.write(authFrame(0x19, scramName, first)) })
		k := p.read()
		if k.first != 0xF0 || k.body[0] != 0 || !strings.HasPrefix(string(authData(t, k.body[2:])), "v=") {
			t.Errorf("re-authentication ended with %v", k)
		}
		p.publish(1, 2, "t", "after")
		// A failure ends the connection [MQTT-4.12.1-2].
		p.prove("ann", "wrong", func(first []byte) { p.write(authFrame(0x19, scramName, first)) })
		p.closed(0x87)
	}, withScram)
}

func TestEnhancedAuthenticationRefused(t *testing.T) {
	for _, test := range []struct {
		what string
		code byte
		do   func(p *peer)
	}{
		{"a wrong password", 0x86, func(p *peer) { p.connectScram("wrong") }},
		{"an unknown method [MQTT-4.12.0-1]", 0x8C, func(p *peer) { p.connect(connectOpts{id: "a", props: method("OTHER", nil)}) }},
		{"without a method", 0x87, func(p *peer) { p.connect(connectOpts{id: "a"}) }},
		{"data that are not SCRAM", 0x86, func(p *peer) { p.connect(connectOpts{id: "a", props: method(scramName, []byte("x"))}) }},
		{"another packet than AUTH", 0x82, func(p *peer) {
			p.connect(connectOpts{id: "a", props: method(scramName, []byte("n,,n=ann,r=x"))})
			p.read()
			p.write([]byte{0xC0, 0})
		}},
		{"another method in AUTH [MQTT-4.12.0-5]", 0x82, func(p *peer) {
			p.connect(connectOpts{id: "a", props: method(scramName, []byte("n,,n=ann,r=x"))})
			p.read()
			p.write(authFrame(0x18, "OTHER", nil))
		}},
		{"re-authentication before CONNACK", 0x82, func(p *peer) {
			p.connect(connectOpts{id: "a", props: method(scramName, []byte("n,,n=ann,r=x"))})
			p.read()
			p.write(authFrame(0x19, scramName, nil))
		}},
		{"success from a client [MQTT-3.15.2-1]", 0x82, func(p *peer) {
			p.connect(connectOpts{id: "a", props: method(scramName, []byte("n,,n=ann,r=x"))})
			p.read()
			p.write(authFrame(0, scramName, nil))
		}},
	} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := dial(t, b)
			test.do(p)
			p.connack(test.code)
			if err := p.closed(0); err == nil {
				t.Errorf("%s: no error", test.what)
			}
			if n := b.Stats().Refused[fmt.Sprintf("0x%02x", test.code)]; test.code != 0x82 && n != 1 {
				t.Errorf("%s: counted %d times", test.what, n)
			}
		}, withScram)
	}
}

func TestAuthWithoutMethod(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.write(authFrame(0x19, scramName, nil)) // [MQTT-4.12.0-7]
		p.closed(0x82)
		p = join(t, b, connectOpts{id: "a", v: 4})
		p.write([]byte{0xF0, 0})
		p.closed(0)
	})
}

// TestConnectTimeoutCoversAuthentication leaves the broker waiting for an AUTH.
func TestConnectTimeoutCoversAuthentication(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "a", props: method(scramName, []byte("n,,n=ann,r=x"))})
		p.read()
		p.connack(0x80)
		p.closed(0)
	}, withScram)
}

// refuser is an Authenticator and Authorizer with an error of its own.
type refuser struct{ connect, access error }

func (r refuser) Authenticate(context.Context, Credentials) (string, error) { return "p", r.connect }
func (r refuser) Authorize(_ context.Context, a Access) error {
	if a.Action == ActionConnect {
		return nil
	}
	return r.access
}

func TestRefusalSaysWhy(t *testing.T) {
	for _, test := range []struct {
		what    string
		err     error
		props   []byte // of the CONNECT
		v4      byte
		connack []byte
	}{
		{"another server", UseServer("b.example:8883", false), nil, 3, slices.Concat([]byte{0x9C}, section([]byte{0x1C}, str("b.example:8883")))},
		{"moved", UseServer("c.example", true), nil, 3, slices.Concat([]byte{0x9D}, section([]byte{0x1C}, str("c.example")))},
		{"banned", &Refusal{Code: 0x8A, Text: "abuse"}, nil, 5, slices.Concat([]byte{0x8A}, section([]byte{0x1F}, str("abuse")))},
		{"busy, wrapped", fmt.Errorf("x: %w", &Refusal{Code: 0x89, Err: errors.New("full")}), nil, 3, []byte{0x89, 0}},
		{"no reason strings wanted [MQTT-3.1.2-29]", &Refusal{Code: 0x8A, Text: "abuse"}, []byte{0x17, 0}, 5, []byte{0x8A, 0}},
		{"no room for it [MQTT-3.2.2-19]", &Refusal{Code: 0x8A, Text: strings.Repeat("abuse", 20)}, append([]byte{0x27}, u32(60)...), 5, []byte{0x8A, 0}},
		{"a code that CONNACK has not", &Refusal{Code: 0x8E}, nil, 3, []byte{0x80, 0}},
		{"no failure", &Refusal{Code: 1}, nil, 3, []byte{0x80, 0}},
	} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := dial(t, b)
			p.connect(connectOpts{id: "a", props: test.props})
			p.want(0x20, []byte{0}, test.connack)
			p.closed(0)
			p = dial(t, b)
			p.connect(connectOpts{id: "a", v: 4})
			p.want(0x20, []byte{0, test.v4})
			p.closed(0)
		}, func(o *Options) { o.Authenticator = refuser{connect: test.err} })
	}
}

func TestRefusalOfAnAuthorizer(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.write(p.publishFrame(2, 1, "t", ""))
		p.want(0x40, u16(1), []byte{0x97})
		p.write(frame(0x82, u16(5), []byte{0}, str("f"), []byte{0}))
		p.want(0x90, u16(5), []byte{0, 0x97})
		p.leave()
	}, func(o *Options) { o.Authorizer = refuser{access: &Refusal{Code: 0x97}} })
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.write(p.publishFrame(2, 1, "t", ""))
		p.want(0x40, u16(1), []byte{0x80}) // 0x9E is not a PUBACK's
		p.write(frame(0x82, u16(5), []byte{0}, str("$share/g/f"), []byte{0}))
		p.want(0x90, u16(5), []byte{0, 0x9E})
		p.leave()
	}, func(o *Options) { o.Authorizer = refuser{access: &Refusal{Code: 0x9E}} })
}

// TestDisconnectNamesAServer sends a client elsewhere.
func TestDisconnectNamesAServer(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		if err := b.Disconnect("a", DisconnectOptions{Server: "b.example"}); err != nil {
			t.Fatal(err)
		}
		p.want(0xE0, []byte{0x9C}, section([]byte{0x1C}, str("b.example")))
		p.closed(0)
	})
}

// TestTinyMaximumPacketSize sees nothing that is larger than allowed [MQTT-3.1.2-24].
func TestTinyMaximumPacketSize(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "a", props: append([]byte{0x27}, u32(2)...)})
		p.closed(0)
		p = dial(t, b)
		p.connect(connectOpts{id: "a", props: append([]byte{0x27}, u32(10)...)})
		p.connack(0x95)
		p.closed(0)
		p = dial(t, b)
		p.connect(connectOpts{id: "a", props: append([]byte{0x27}, u32(18)...)})
		p.connack(0)
		p.leave()
	}, func(o *Options) { o.TopicAliasMaximum = -1 })
}
