package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// How each target is to be started: on loopback alone, everybody allowed, nothing kept on disk where that can be had, and
// queues so long that none drops what the load generator waits for. All else is as the broker has it by default.

func ours(program string, s *site) ([]string, error) {
	command := []string{program, "-addr", s.addr()}
	if s.cert != "" {
		command = append(command, "-cert", s.cert, "-key", s.key)
	}
	return command, nil
}

func relay(program string, s *site) ([]string, error) {
	return []string{program, "-listen", s.addr()}, nil
}

func eventloop(program string, s *site) ([]string, error) {
	return []string{program, "-p", strconv.Itoa(s.port)}, nil
}

// configured writes the file that a broker is to read and returns its name.
func (s *site) configured(text string) (string, error) {
	file := filepath.Join(s.dir, "broker.conf")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// secure is text, which names the files of the certificate and of its key, if TLS is wanted.
func (s *site) secure(text string) string {
	if s.cert == "" {
		return ""
	}
	return fmt.Sprintf(text, s.cert, s.key)
}

func mosquitto(program string, s *site) ([]string, error) {
	file, err := s.configured(fmt.Sprintf("listener %d 127.0.0.1\nuser root\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n", s.port) +
		s.secure("certfile %s\nkeyfile %s\n"))
	return []string{program, "-c", file}, err
}

func flashmq(program string, s *site) ([]string, error) {
	file, err := s.configured(fmt.Sprintf(`allow_anonymous true
log_level error
max_qos_msg_pending_per_client 65535
max_qos_bytes_pending_per_client 1000000000
client_max_write_buffer_size 1000000000
listen {
  protocol mqtt
  inet_protocol ip4
  inet4_bind_address 127.0.0.1
  port %d
%s}
`, s.port, s.secure("  fullchain %s\n  privkey %s\n")))
	return []string{program, "--config-file", file}, err
}

// nats keeps its sessions and its messages of QoS 1 in JetStream, which for MQTT is on disk always, without a sync of
// each write. It needs an empty folder at every start: the consumers of subscriptions at QoS 1 that it did not remove
// before it ended count towards the most that a stream may have, above which a subscription is refused.
func nats(program string, s *site) ([]string, error) {
	file, err := s.configured(fmt.Sprintf(`server_name: measured
listen: "127.0.0.1:-1"
jetstream { store_dir: %q }
mqtt {
  listen: %q
  max_ack_pending: 32767 # a filter that ends in # takes it twice, 65535 is the most
  consumer_memory_storage: true
%s}
`, filepath.Join(s.dir, "jetstream"), s.addr(), s.secure("  tls { cert_file: %q, key_file: %q }\n")))
	return []string{program, "-c", file}, err
}

// comqtt opens listeners for WebSocket, QUIC and HTTP too; they are on ports that nobody asks for.
func comqtt(program string, s *site) ([]string, error) {
	file, err := s.configured(fmt.Sprintf(`storage-way: 0
bridge-way: 0
auth: {way: 0}
mqtt:
  tcp: %s
  quic: 127.0.0.1:0
  ws: 127.0.0.1:0
  http: 127.0.0.1:0
%s  options:
    capabilities:
      maximum-message-expiry-interval: 86400
      maximum-session-expiry-interval: 4294967295
      maximum-client-writes-pending: 65536
      maximum-packet-size: 0
      receive-maximum: 65535
      topic-alias-maximum: 65535
      maximum-qos: 2
      retain-available: 1
      wildcard-sub-available: 1
      sub-id-available: 1
      shared-sub-available: 1
      minimum-protocol-version: 3
log: {enable: false}
`, s.addr(), s.secure("  tls: {server-cert: %q, server-key: %q}\n")))
	return []string{program, "--conf", file}, err
}

func fluxmq(program string, s *site) ([]string, error) {
	listener := fmt.Sprintf("    v3: {addr: %q, max_connections: 100000, protocol: v3}\n", s.addr())
	if s.cert != "" {
		listener = fmt.Sprintf("    v3: {addr: \"\"}\n    tls: {addr: %q, max_connections: 100000, protocol: v3, cert_file: %q, key_file: %q}\n", s.addr(), s.cert, s.key)
	}
	file, err := s.configured(fmt.Sprintf(`server:
  tcp:
%s    v5: {addr: ""}
  websocket:
    v3: {addr: ""}
    v5: {addr: ""}
  amqp:
    plain: {addr: ""}
  amqp091:
    plain: {addr: ""}
  health_enabled: false
  admin_api_addr: ""
session:
  max_sessions: 100000
  max_inflight_messages: 65535
  max_offline_queue_size: 65535
storage:
  type: memory
  badger_dir: %q
cluster:
  enabled: false
log:
  level: error
`, listener, filepath.Join(s.dir, "data")))
	return []string{program, "-config", file}, err
}
