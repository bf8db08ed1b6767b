package broker

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

func reasonFor(err error) stop {
	var ce *ConnError
	if errors.As(err, &ce) {
		return stop{true, ce.Code, ce.Reason, ce.Err}
	}
	if errors.Is(err, io.EOF) || isNetwork(err) {
		return stop{true, 0, ConnectionLost, err}
	}
	return stop{true, unspecified, ServerError, err}
}

func isNetwork(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.ErrUnexpectedEOF)
}

// end ends the connection for a reason, after the batch that is being worked on. Only the
// first reason counts. It does not wait.
func (c *conn) end(code byte, reason DisconnectReason, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop.set {
		return
	}
	c.stop = stop{true, code, reason, err}
	c.wake()
	if !c.busy {
		c.part(false)
	}
}

// part says goodbye and lets the socket be closed once that is written. mu is held. flushes
// says that the caller is the reader, which flushes after this.
func (c *conn) part(flushes bool) {
	if c.closing {
		return
	}
	if bye := c.goodbye(); len(bye) > 0 && (c.limits.MaxPacket == 0 || len(bye) <= int(c.limits.MaxPacket)) { // [MQTT-3.1.2-24]
		buf := c.outbox()
		buf.b = append(buf.b, bye...)
	}
	c.closing = true
	c.wake()
	switch { // the timeouts bound a write that is stuck as well
	case c.in.sock == nil:
		_ = c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
		if !c.writing {
			c.startWriter(nil)
		}
	case flushes && c.parting != nil:
		c.leaves = true // see gone
	default:
		c.cut = time.AfterFunc(closeTimeout, c.kill)
		if !flushes {
			c.writers.Go(c.flush)
		}
	}
}

// goodbye is the packet that says why, if there is one. mu is held.
func (c *conn) goodbye() []byte {
	code, version := wire.Code(c.stop.code), c.info.Version
	switch {
	case code == wire.Success:
	case !c.info.Connected && code == wire.UnsupportedVersion && version != 5: // [MQTT-3.1.2-2] of 3.1.1
		return wire.AppendConnack(nil, 4, &wire.Connack{Code: code})
	case !c.info.Connected && (version == 5 || version == 4 && code != wire.Malformed && code != wire.ProtocolError):
		text, server := c.explain()
		return wire.AppendConnack(nil, version, &wire.Connack{Code: code, Reason: text, ServerReference: server})
	case c.info.Connected && version == 5:
		text, server := c.explain()
		return wire.AppendDisconnect(nil, code, text, server)
	}
	return nil
}

// explain is what goes with the code into the goodbye: what a Refusal says, as far as the
// client wants to hear it and takes it [MQTT-3.1.2-29] [MQTT-3.14.2-3]. mu is held.
func (c *conn) explain() (text, server string) {
	var r *Refusal
	if !errors.As(c.stop.err, &r) {
		return "", ""
	}
	text, server = r.Text, r.Server
	most := int(c.limits.MaxPacket)
	if c.limits.NoProblemString || most > 0 && len(text)+len(server)+16 > most {
		text = ""
	}
	if most > 0 && len(server)+16 > most {
		server = ""
	}
	return text, server
}
