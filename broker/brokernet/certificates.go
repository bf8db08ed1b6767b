package brokernet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// CertificateFiles name a certificate chain and its key, both PEM.
type CertificateFiles struct{ Cert, Key string }

// CertificateOptions are the optional parts of [Certificates]. Nil is all defaults.
type CertificateOptions struct {
	// Interval is how often Run looks whether a file has changed. Zero means 1 min.
	Interval time.Duration
	// NameRequired refuses clients that name no server or one that no certificate
	// is for. Else they get the first.
	NameRequired bool
	// Logger hears of reloads and of those that failed. Nil is silence.
	Logger *slog.Logger
}

// Certificates are a server's, chosen by the name that the client asks for and
// renewed without a restart. All methods may be called from many goroutines.
type Certificates struct {
	files []CertificateFiles
	opts  CertificateOptions

	current atomic.Pointer[[]tls.Certificate]
	mu      sync.Mutex // of Reload
	seen    []stamp    // of the files as last read
}

// A stamp tells whether a file has changed.
type stamp struct {
	size int64
	time time.Time
}

// NewCertificates reads files.
func NewCertificates(files []CertificateFiles, opts *CertificateOptions) (*Certificates, error) {
	c := &Certificates{files: slices.Clone(files)}
	if opts != nil {
		c.opts = *opts
	}
	if len(files) == 0 {
		return nil, errors.New("brokernet: no certificates")
	}
	if c.opts.Interval < 0 {
		return nil, errors.New("brokernet: options: Interval is negative")
	}
	if c.opts.Interval == 0 {
		c.opts.Interval = time.Minute
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// GetCertificate is for tls.Config.GetCertificate: the first certificate that is for the name and
// that the client understands.
func (c *Certificates) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *c.current.Load()
	for i := range all {
		if hello.ServerName != "" && hello.SupportsCertificate(&all[i]) == nil {
			return &all[i], nil
		}
	}
	if c.opts.NameRequired {
		return nil, fmt.Errorf("%w: %q", ErrNoCertificate, hello.ServerName)
	}
	return &all[0], nil
}

// Reload reads all files again. Connections made from then on get what they say; an error in any of them leaves
// all as it was.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stamps() // before reading: what changes meanwhile is read again
	if err != nil {
		return err
	}
	all := make([]tls.Certificate, len(c.files))
	for i, f := range c.files {
		if all[i], err = tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return fmt.Errorf("brokernet: certificate %s: %w", f.Cert, err)
		}
	}
	c.current.Store(&all)
	c.seen = seen
	return nil
}

func (c *Certificates) stamps() ([]stamp, error) {
	var all []stamp
	for _, f := range c.files {
		for _, name := range []string{f.Cert, f.Key} {
			info, err := os.Stat(name)
			if err != nil {
				return nil, fmt.Errorf("brokernet: certificate: %w", err)
			}
			all = append(all, stamp{info.Size(), info.ModTime()})
		}
	}
	return all, nil
}

// Run reloads when a file has changed, until ctx is done.
func (c *Certificates) Run(ctx context.Context) error {
	t := time.NewTicker(c.opts.Interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			c.refresh()
		}
	}
}

func (c *Certificates) refresh() {
	now, err := c.stamps()
	c.mu.Lock()
	same := slices.Equal(now, c.seen)
	c.mu.Unlock()
	if err == nil && same {
		return
	}
	if err == nil {
		err = c.Reload()
	}
	if err != nil { // a file that is being written: the next look may find it whole
		c.opts.Logger.Warn("certificates not reloaded", "err", err)
		return
	}
	c.opts.Logger.Info("certificates reloaded")
}
