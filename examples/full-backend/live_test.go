package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A session is one live connection of a device, by hand: MQTT 5.
type session struct {
	t *testing.T
	net.Conn
}

func (d *device) session(id string) *session {
	d.p.t.Helper()
	s, code := dialSession(d.p.t, "127.0.0.1:"+d.p.mqtt, d.tlsConfig(), id)
	if code != 0 {
		d.p.t.Fatalf("CONNACK with %#x", code)
	}
	return s
}

// dialSession connects, and returns the reason code of the CONNACK.
func dialSession(t *testing.T, addr string, config *tls.Config, id string) (s *session, code byte) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.Write(append([]byte{0x10, byte(13 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, byte(len(id))}, id...))
	b := readPacket(t, conn)
	if b[0] != 0x20 {
		t.Fatalf("instead of a CONNACK % x", b)
	}
	return &session{t, conn}, b[3]
}

// publish sends a message and returns the reason code of its PUBACK.
func (s *session) publish(topic string, payload ...byte) byte {
	s.t.Helper()
	s.Write(append(append(append([]byte{0x32, byte(5 + len(topic) + len(payload)), 0, byte(len(topic))}, topic...), 0, 1, 0), payload...))
	b := readPacket(s.t, s)
	if b[0] != 0x40 {
		s.t.Fatalf("instead of a PUBACK % x", b)
	}
	if len(b) < 5 {
		return 0
	}
	return b[4]
}

// ended waits for the end of the connection and returns what came before it.
func (s *session) ended() []byte {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(s)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		s.t.Error("the connection lives on")
	}
	return b
}

// What a device may do is what the policies say when it asks, also on a
// connection that lives: the very next publish after a change is answered by
// the new rules, and a certificate that is not active any more has no connection.
func TestLiveSessions(t *testing.T) {
	p := start(t)
	a := p.sdk()
	const arn = "arn:aws:iot:us-east-1:123456789012:"
	document := func(topics ...string) string {
		return `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"iot:Connect\",\"iot:Subscribe\"],\"Resource\":\"*\"},` +
			`{\"Effect\":\"Allow\",\"Action\":[\"iot:Publish\",\"iot:Receive\"],\"Resource\":[\"` + strings.Join(topics, `\",\"`) + `\"]}]}`
	}
	// A device whose only policy is the one made here.
	d := p.device("live")
	cert := `arn:aws:iot:us-east-1:123456789012:cert/` + d.id
	a.ok(``, "CreatePolicy", `{"policyName":"own","policyDocument":"`+document(arn+"topic/a", arn+"topic/b")+`"}`)
	a.ok(``, "CreatePolicy", `{"policyName":"more","policyDocument":"`+document(arn+"topic/c")+`"}`)
	a.ok(``, "AttachPolicy", `{"policyName":"own","target":"`+cert+`"}`)
	a.ok(``, "DetachPolicy", `{"policyName":"device","target":"`+cert+`"}`)
	s := d.session("live")
	const ok, refused = 0, 0x87
	may := func(what string, b, c byte) {
		t.Helper()
		if gotB, gotC := s.publish("b"), s.publish("c"); gotB != b || gotC != c {
			t.Errorf("%s: b answered %#x and c %#x, want %#x and %#x", what, gotB, gotC, b, c)
		}
	}
	may("at first", ok, refused)
	a.ok(`"policyVersionId":"2"`, "CreatePolicyVersion", `{"policyName":"own","policyDocument":"`+document(arn+"topic/a")+`","setAsDefault":true}`)
	may("another default version", refused, refused)
	a.ok(``, "SetDefaultPolicyVersion", `{"policyName":"own","policyVersionId":"1"}`)
	may("the first version again", ok, refused)
	a.ok(``, "CreateThingGroup", `{"thingGroupName":"above"}`)
	a.ok(``, "CreateThingGroup", `{"thingGroupName":"below","parentGroupName":"above"}`)
	a.ok(``, "AttachPolicy", `{"policyName":"more","target":"`+arn+`thinggroup/above"}`)
	may("a policy of a group it is not in", ok, refused)
	a.ok(``, "AddThingToThingGroup", `{"thingGroupName":"below","thingName":"live"}`)
	may("in the group below", ok, ok)
	a.ok(`"authDecision":"ALLOWED"`, "TestAuthorization", `{"principal":"`+cert+`","clientId":"live","authInfos":[{"actionType":"PUBLISH","resources":["`+arn+`topic/c"]}]}`)
	a.ok(``, "DetachPolicy", `{"policyName":"more","target":"`+arn+`thinggroup/above"}`)
	may("the group has lost it", ok, refused)
	a.ok(``, "AttachPolicy", `{"policyName":"more","target":"`+arn+`thinggroup/above"}`)
	a.ok(``, "RemoveThingFromThingGroup", `{"thingGroupName":"below","thingName":"live"}`)
	may("out of the group", ok, refused)

	// What it had subscribed to is asked at each delivery.
	got := d.sub("a", "b")
	a.ok(``, "SetDefaultPolicyVersion", `{"policyName":"own","policyVersionId":"2"}`)
	for _, topic := range []string{"b", "a"} {
		if status, answer := p.curl("POST", "/topics/"+topic+"?qos=1", `"x"`); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if line := next(t, got); line != `a "x"` {
		t.Errorf("it got %s", line)
	}

	// Certificates that are not active any more.
	for _, c := range []struct{ thing, command, input string }{
		{"live", "UpdateCertificate", `{"certificateId":"ID","newStatus":"INACTIVE"}`},
		{"revoked", "UpdateCertificate", `{"certificateId":"ID","newStatus":"REVOKED"}`},
	} {
		if c.thing != "live" {
			d = p.device(c.thing)
			s = d.session(c.thing)
		}
		a.ok(``, c.command, strings.Replace(c.input, "ID", d.id, 1))
		if b := s.ended(); len(b) < 3 || b[0] != 0xe0 || b[2] != refused {
			t.Errorf("%s: before its end it got % x, not a DISCONNECT with 0x87", c.thing, b)
		}
		if out, err := d.pub("a", "{}"); err == nil {
			t.Errorf("%s may connect: %s", c.thing, out)
		}
	}
	a.ok(``, "DeleteCertificate", `{"certificateId":"`+d.id+`","forceDelete":true}`)
	a.refused("ResourceNotFoundException", "DescribeCertificate", `{"certificateId":"`+d.id+`"}`)
}

// A continuous job of a dynamic group comes to the device that begins to match,
// and goes from the one that stops, over a crash too.
func TestJobOfDynamicGroup(t *testing.T) {
	p := start(t)
	a := p.sdk()
	d := p.device("lamp-1")
	a.indexing(p, `{"thingIndexingMode":"REGISTRY"}`)
	a.ok(``, "CreateDynamicThingGroup", `{"thingGroupName":"berlin","queryString":"attributes.site:berlin"}`)
	a.ok(``, "CreateJob", `{"jobId":"update","targetSelection":"CONTINUOUS","targets":["arn:aws:iot:us-east-1:123456789012:thinggroup/berlin"],"document":"{\"version\":7}"}`)
	got := d.sub("$aws/things/lamp-1/jobs/notify-next")
	a.ok(``, "UpdateThing", `{"thingName":"lamp-1","attributePayload":{"attributes":{"site":"berlin"}}}`)
	if line := next(t, got); !strings.Contains(line, `"jobDocument":{"version":7}`) {
		t.Errorf("the device got %s", line)
	}
	a.ok(``, "UpdateThing", `{"thingName":"lamp-1","attributePayload":{"attributes":{"site":"oslo"}}}`)
	p.kill()
	p.run()
	p.eventually("the execution is removed", func() error {
		if out := a.send("ListJobExecutionsForThing", `{"thingName":"lamp-1"}`); !strings.Contains(string(out.Output), `"status":"REMOVED"`) {
			return errors.New(string(out.Output) + out.Message)
		}
		return nil
	})
	a.ok(`"status":"IN_PROGRESS"`, "DescribeJob", `{"jobId":"update"}`)
}
