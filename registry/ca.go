package registry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// A CA signs the certificates of devices and of the server. It holds a
// private key: keep what KeyPEM returns as a secret. It is safe for
// concurrent use.
type CA struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	now     func() time.Time
}

// CAOptions are the optional parts of NewCA. A nil *CAOptions is all defaults.
type CAOptions struct {
	// CommonName is the subject. Empty means "Thingloom CA".
	CommonName string
	// Validity is how long the CA is valid. Zero means until the end of 2049,
	// as what AWS issues.
	Validity time.Duration
	// Now gives the time validities are counted from. Nil means time.Now.
	Now func() time.Time
}

// endOfTime is when certificates of AWS end.
var endOfTime = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)

// backdate is how long before its making a certificate is valid, for devices
// whose clock is late.
const backdate = time.Hour

// NewCA makes a CA with a new EC P-256 key.
func NewCA(opts *CAOptions) (*CA, error) {
	var o CAOptions
	if opts != nil {
		o = *opts
	}
	if o.CommonName == "" {
		o.CommonName = "Thingloom CA"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Validity < 0 {
		return nil, invalid("CAOptions.Validity", "is negative")
	}
	now := o.Now()
	end := endOfTime
	if o.Validity > 0 {
		end = now.Add(o.Validity)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("registry: CA key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{CommonName: o.CommonName},
		NotBefore: now.Add(-backdate), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("registry: CA certificate: %w", err)
	}
	return newCA(der, key, o.Now)
}

// LoadCA reads a CA that was kept as the PEM texts of CertificatePEM and
// KeyPEM. The key may be of PKCS #8, PKCS #1 or SEC 1.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, invalid("certPEM", "has no CERTIFICATE")
	}
	kb, _ := pem.Decode(keyPEM)
	if kb == nil {
		return nil, invalid("keyPEM", "is not PEM")
	}
	key, err := parseKey(kb.Bytes)
	if err != nil {
		return nil, err
	}
	ca, err := newCA(block.Bytes, key, time.Now)
	if err != nil {
		return nil, err
	}
	if !ca.cert.IsCA {
		return nil, invalid("certPEM", "is not the certificate of a CA")
	}
	if pub, ok := ca.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return nil, invalid("keyPEM", "is not the key of the certificate")
	}
	return ca, nil
}

func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	return nil, invalid("keyPEM", "is not a private key of a known form")
}

func newCA(der []byte, key crypto.Signer, now func() time.Time) (*CA, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("registry: CA certificate: %w", err)
	}
	return &CA{cert: cert, key: key, certPEM: encodeCert(der), now: now}, nil
}

// CertificatePEM is the certificate, for clients that have to trust the server.
func (ca *CA) CertificatePEM() []byte { return append([]byte(nil), ca.certPEM...) }

// KeyPEM is the private key, in PKCS #8.
func (ca *CA) KeyPEM() ([]byte, error) { return encodeKey(ca.key) }

// Pool returns a pool with this CA alone.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// IssueServerCertificate makes a certificate for a server that is reached by
// the host names and IP addresses, with a new EC P-256 key, valid as long as
// the CA. certPEM has the certificate of the CA behind it.
func (ca *CA) IssueServerCertificate(hosts ...string) (certPEM, keyPEM []byte, err error) {
	if len(hosts) == 0 {
		return nil, nil, invalid("hosts", "is empty")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("registry: server key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotAfter: ca.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := ca.sign(template, &key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	return append(encodeCert(der), ca.certPEM...), keyPEM, err
}

// ServerCertificate is IssueServerCertificate in the form of crypto/tls.
func (ca *CA) ServerCertificate(hosts ...string) (tls.Certificate, error) {
	certPEM, keyPEM, err := ca.IssueServerCertificate(hosts...)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// sign completes the template with a serial number, the beginning of the
// validity and the signature.
func (ca *CA) sign(template *x509.Certificate, public any) ([]byte, error) {
	template.SerialNumber = serialNumber()
	template.NotBefore = ca.now().Add(-backdate)
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("registry: sign certificate: %w", err)
	}
	return der, nil
}

func serialNumber() *big.Int {
	var b [20]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 1 // positive and not short
	return new(big.Int).SetBytes(b[:])
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	if k, ok := key.(*rsa.PrivateKey); ok {
		// What AWS hands out, and what old TLS stacks on devices read.
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("registry: private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseCert reads exactly one certificate.
func parseCert(field string, text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: %s has no PEM block CERTIFICATE", ErrCertificateValidation, field)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, fmt.Errorf("%w: %s has more than one PEM block", ErrCertificateValidation, field)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrCertificateValidation, field, err)
	}
	return cert, checkKey(cert.PublicKey)
}

// checkKey accepts RSA from 2048 bits and the NIST curves.
func checkKey(public any) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 {
			return fmt.Errorf("%w: RSA key of %d bits, less than 2048", ErrCertificateValidation, n)
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Errorf("%w: elliptic curve %s", ErrCertificateValidation, k.Params().Name)
		}
	default:
		return fmt.Errorf("%w: key of type %T", ErrCertificateValidation, public)
	}
	return nil
}

// checkSignature accepts the algorithms that AWS does.
func checkSignature(a x509.SignatureAlgorithm) error {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS,
		x509.SHA512WithRSAPSS, x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.DSAWithSHA256:
		return nil
	}
	return fmt.Errorf("%w: signature algorithm %s", ErrCertificateValidation, a)
}

var errNotCA = errors.New("is not the certificate of a CA")
