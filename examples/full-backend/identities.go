package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/thingloom/thingloom/broker/brokernet"
	"github.com/thingloom/thingloom/registry"
)

// identities are the keys of the backend itself, made on the first start:
// ca.pem and ca.key, server.pem and server.key, admin-token, aws-credentials.
type identities struct {
	ca     *registry.CA
	server *brokernet.Certificates
	admin  *admin
}

func loadIdentities(cfg Config, logger *slog.Logger) (*identities, error) {
	ids := &identities{}
	var err error
	if ids.ca, err = loadCA(cfg.path("ca.pem"), cfg.path("ca.key")); err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	if ids.server, err = loadServer(ids.ca, cfg, logger); err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	if ids.admin, err = loadAdmin(cfg.path("admin-token"), !loopback(cfg.HTTP)); err != nil {
		return nil, fmt.Errorf("admin token: %w", err)
	}
	if ids.admin.signed, err = loadKey(cfg.path("aws-credentials")); err != nil {
		return nil, fmt.Errorf("access key: %w", err)
	}
	return ids, nil
}

// loadCA makes the CA if there is none. The key is written first: a crash in
// between leaves a key without certificate, which is made anew.
func loadCA(certFile, keyFile string) (*registry.CA, error) {
	cert, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		ca, err := registry.NewCA(nil)
		if err != nil {
			return nil, err
		}
		key, err := ca.KeyPEM()
		if err != nil {
			return nil, err
		}
		return ca, errors.Join(writeFile(keyFile, key, 0o600), writeFile(certFile, ca.CertificatePEM(), 0o644))
	}
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	return registry.LoadCA(cert, key)
}

// loadServer makes a certificate for -hosts if there is none. Another one put in its place, of a public CA for
// instance, is used from then on, without a restart.
func loadServer(ca *registry.CA, cfg Config, logger *slog.Logger) (*brokernet.Certificates, error) {
	certFile, keyFile := cfg.path("server.pem"), cfg.path("server.key")
	if _, err := os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		cert, key, err := ca.IssueServerCertificate(strings.Split(cfg.Hosts, ",")...)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(writeFile(keyFile, key, 0o600), writeFile(certFile, cert, 0o644)); err != nil {
			return nil, err
		}
	}
	return brokernet.NewCertificates([]brokernet.CertificateFiles{{Cert: certFile, Key: keyFile}},
		&brokernet.CertificateOptions{Interval: 5 * time.Second, Logger: logger})
}

// tlsConfig asks every client for a certificate and lets the registry decide
// on it: which are trusted is not a matter of chains, as with AWS IoT. Here a
// client has only shown a certificate; one that its CA registers just in time
// is registered when the client has proved to have the key and asks for
// something (PrincipalOf).
func (b *backend) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: b.ids.server.GetCertificate,
		ClientAuth:     tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 { // where none is needed
				return nil
			}
			return b.registry.CheckCertificate(context.Background(), s.PeerCertificates[0])
		},
	}
}

// devicePolicy is attached to the certificate of every device that this
// program makes: a device does what is its own and nothing else.
const devicePolicy = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"iot:Connect","Resource":[
  "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}",
  "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}-*"]},
 {"Effect":"Allow","Action":["iot:Publish","iot:Receive","iot:RetainPublish"],"Resource":[
  "arn:aws:iot:*:*:topic/sensors/${iot:Connection.Thing.ThingName}/*",
  "arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/shadow/*",
  "arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*",
  "arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/defender/*",
  "arn:aws:iot:*:*:topic/$aws/rules/*"]},
 {"Effect":"Allow","Action":"iot:Receive","Resource":"arn:aws:iot:*:*:topic/devices/${iot:Connection.Thing.ThingName}/*"},
 {"Effect":"Allow","Action":"iot:Subscribe","Resource":[
  "arn:aws:iot:*:*:topicfilter/sensors/${iot:Connection.Thing.ThingName}/*",
  "arn:aws:iot:*:*:topicfilter/devices/${iot:Connection.Thing.ThingName}/*",
  "arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/shadow/*",
  "arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*",
  "arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/defender/*"]},
 {"Effect":"Allow","Action":["iot:GetPendingJobExecutions","iot:StartNextPendingJobExecution","iot:DescribeJobExecution","iot:UpdateJobExecution",
  "iot:GetThingShadow","iot:UpdateThingShadow","iot:DeleteThingShadow","iot:ListNamedShadowsForThing"],"Resource":[
  "arn:aws:iot:*:*:thing/${iot:Connection.Thing.ThingName}",
  "arn:aws:iot:*:*:thing/${iot:Connection.Thing.ThingName}/*"]}
]}`

// provision makes a thing, if need be, and a certificate for it. The
// certificate is tied to the thing, so that the device may connect several
// times, as thing, thing-1 and so on.
func (b *backend) provision(ctx context.Context, thing string, keyType registry.KeyType) (registry.Certificate, registry.KeyPair, error) {
	fail := func(err error) (registry.Certificate, registry.KeyPair, error) {
		return registry.Certificate{}, registry.KeyPair{}, err
	}
	if _, err := b.registry.CreateThing(ctx, registry.Thing{Name: thing}); err != nil && !errors.Is(err, registry.ErrExists) {
		return fail(err)
	}
	cert, keys, err := b.registry.CreateKeysAndCertificate(ctx, &registry.KeyOptions{Type: keyType, Status: registry.StatusActive, CommonName: thing})
	if err != nil {
		return fail(err)
	}
	if err := b.registry.AttachPolicy(ctx, "device", cert.ID); err != nil {
		return fail(err)
	}
	return cert, keys, b.registry.AttachPrincipalExclusively(ctx, thing, cert.ID)
}

// deviceFiles provisions a device of this program's own once, and keeps its
// identity as files: devices/<thing>.pem and .key.
func (b *backend) deviceFiles(ctx context.Context, thing string) (certFile, keyFile string, err error) {
	certFile, keyFile = b.cfg.path("devices", thing+".pem"), b.cfg.path("devices", thing+".key")
	if _, err := os.Stat(certFile); !errors.Is(err, fs.ErrNotExist) {
		return certFile, keyFile, err
	}
	cert, keys, err := b.provision(ctx, thing, registry.ECP256)
	if err != nil {
		return "", "", err
	}
	err = errors.Join(os.MkdirAll(filepath.Dir(certFile), 0o700), writeFile(keyFile, keys.PrivatePEM, 0o600))
	return certFile, keyFile, errors.Join(err, writeFile(certFile, []byte(cert.PEM), 0o644))
}

// simulated is the TLS configuration of a simulated sensor.
func (b *backend) simulated(ctx context.Context, thing string) (*tls.Config, error) {
	certFile, keyFile, err := b.deviceFiles(ctx, thing)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: b.ids.ca.Pool(), ServerName: "localhost"}, err
}
