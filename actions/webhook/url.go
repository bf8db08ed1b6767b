package webhook

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

func parse(text string) (*url.URL, error) {
	if len(text) > maxURLBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxURLBytes)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no http or https URL", text)
	}
	if u.User != nil {
		return nil, fmt.Errorf("a URL with credentials; use a header")
	}
	return u, nil
}

// allowed reports whether a rule with that confirmationUrl may post to u.
func (o *Options) allowed(base, u *url.URL) bool {
	if !o.prefix {
		return below(base, u)
	}
	return sameHost(base, u) && strings.HasPrefix(behind(u), behind(base))
}

// behind is what comes after scheme and host, as it is sent. Nothing is the
// root of the server.
func behind(u *url.URL) string {
	text := u.EscapedPath()
	if text == "" && (u.RawQuery != "" || u.ForceQuery) {
		text = "/"
	}
	if u.RawQuery != "" || u.ForceQuery {
		text += "?" + u.RawQuery
	}
	return text
}

// below reports whether u is base or deeper. A path that climbs is below nothing.
func below(base, u *url.URL) bool {
	rest, ok := strings.CutPrefix(u.Path, base.Path)
	return ok && sameHost(base, u) && (rest == "" || rest[0] == '/' || base.Path == "" || strings.HasSuffix(base.Path, "/"))
}

// sameHost reports whether u is on the server of base, with a path that does
// not climb.
func sameHost(base, u *url.URL) bool {
	for elem := range strings.SplitSeq(u.Path, "/") { // decoded: %2e%2e is two points
		if elem == ".." {
			return false
		}
	}
	return u.Scheme == base.Scheme && strings.EqualFold(u.Host, base.Host)
}

// checkKey accepts a token of RFC 9110, 5.6.2, that is not the transport's business.
func checkKey(key string) error {
	if len(key) < 1 || len(key) > maxKeyBytes {
		return fmt.Errorf("%d bytes, 1 to %d are allowed", len(key), maxKeyBytes)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return fmt.Errorf("%q is no header name", key)
		}
	}
	switch http.CanonicalHeaderKey(key) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Trailer", "Te":
		return fmt.Errorf("%s cannot be set", key)
	}
	return nil
}
