package awsauth

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	basicTime = "20060102T150405Z"

	// maxSignedHeaders bounds the work that a stranger can ask for.
	maxSignedHeaders = 100
)

// A signature is what a request says about how it is signed.
type signature struct {
	keyID, day, region, service string // the credential
	headers                     []string
	mac                         []byte
	time                        time.Time
	token                       string // of the session, may be empty
	presigned                   bool
	expires                     time.Duration // of a presigned URL; 0 if it does not say
	query                       []parameter
}

// A parameter is one name and value of the query, unescaped.
type parameter struct{ name, value string }

// parseSignature reads the signature of r; nil if it has none.
func parseSignature(r *http.Request) (*signature, error) {
	query, err := parseQuery(r.URL.RawQuery)
	header := r.Header.Get("Authorization")
	presigned := slices.ContainsFunc(query, func(p parameter) bool { return p.name == "X-Amz-Algorithm" || p.name == "X-Amz-Signature" })
	switch {
	case header == "" && !presigned && err == nil:
		return nil, nil
	case err != nil && (presigned || strings.HasPrefix(header, "AWS4-")):
		return nil, err
	case header == "" && err != nil:
		return nil, nil // the query is the handler's business
	case header != "" && presigned:
		return nil, refuse(ErrIncompleteSignature, "The signature is both in the query and in the Authorization header.")
	}
	s := &signature{query: query, presigned: presigned}
	if presigned {
		return s, s.readQuery()
	}
	return s, s.readHeader(header, r)
}

// readHeader reads AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...
func (s *signature) readHeader(header string, r *http.Request) error {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if scheme != algorithm {
		return refuse(ErrIncompleteSignature, "Authorization header has an unsupported scheme: '%s'. Supported is %s.", clip(scheme), algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice {
			return refuse(ErrIncompleteSignature, "'%s' not a valid key=value pair in Authorization header.", clip(part))
		}
		parts[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[name] == "" {
			return refuse(ErrIncompleteSignature, "Authorization header requires '%s' parameter.", name)
		}
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		// The older way: the date of the request itself.
		date = r.Header.Get("Date")
		if t, err := http.ParseTime(date); err == nil {
			date = t.UTC().Format(basicTime)
		}
	}
	s.token = r.Header.Get("X-Amz-Security-Token")
	if err := s.read(parts["Credential"], parts["SignedHeaders"], parts["Signature"], date); err != nil {
		return err
	}
	if r.Header.Get("X-Amz-Date") == "" && !slices.Contains(s.headers, "date") {
		return refuse(ErrIncompleteSignature, "The Date header is not signed.")
	}
	return nil
}

// readQuery reads the parameters of a presigned URL.
func (s *signature) readQuery() error {
	get := func(name string) (value string, err error) {
		n := 0
		for _, p := range s.query {
			if p.name == name {
				value = p.value
				n++
			}
		}
		if n > 1 {
			err = refuse(ErrIncompleteSignature, "The query has '%s' more than once.", name)
		}
		return value, err
	}
	values := map[string]string{}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token"} {
		v, err := get(name)
		if err != nil {
			return err
		}
		if v == "" && name != "X-Amz-Expires" && name != "X-Amz-Security-Token" {
			return refuse(ErrIncompleteSignature, "AWS query-string parameters must include '%s'.", name)
		}
		values[name] = v
	}
	if values["X-Amz-Algorithm"] != algorithm {
		return refuse(ErrIncompleteSignature, "Unsupported algorithm '%s'. Supported is %s.", clip(values["X-Amz-Algorithm"]), algorithm)
	}
	if text := values["X-Amz-Expires"]; text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil || seconds == 0 {
			return refuse(ErrIncompleteSignature, "X-Amz-Expires must be a positive number of seconds.")
		}
		s.expires = time.Duration(seconds) * time.Second
	}
	s.token = values["X-Amz-Security-Token"]
	return s.read(values["X-Amz-Credential"], values["X-Amz-SignedHeaders"], values["X-Amz-Signature"], values["X-Amz-Date"])
}

// read takes the parts that both forms have.
func (s *signature) read(credential, headers, mac, date string) (err error) {
	// A key ID may hold slashes, the rest of a credential may not.
	parts := strings.Split(credential, "/")
	if n := len(parts); n < 5 || parts[n-1] != "aws4_request" || parts[0] == "" {
		return refuse(ErrIncompleteSignature, "Credential must have the form <key ID>/<date>/<region>/<service>/aws4_request.")
	}
	parts = parts[:len(parts)-1]
	n := len(parts)
	s.keyID, s.day, s.region, s.service = strings.Join(parts[:n-3], "/"), parts[n-3], parts[n-2], parts[n-1]

	s.headers = strings.Split(headers, ";")
	if len(s.headers) > maxSignedHeaders {
		return refuse(ErrIncompleteSignature, "More than %d signed headers.", maxSignedHeaders)
	}
	if !slices.Contains(s.headers, "host") {
		return refuse(ErrIncompleteSignature, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for i, h := range s.headers {
		if h == "" || h != strings.ToLower(h) || i > 0 && h <= s.headers[i-1] {
			return refuse(ErrIncompleteSignature, "SignedHeaders must be lower case, sorted and without repetition.")
		}
	}
	if s.mac, err = hex.DecodeString(mac); err != nil || len(s.mac) != 32 {
		return refuse(ErrIncompleteSignature, "The signature must be 64 hexadecimal digits.")
	}
	if s.time, err = time.Parse(basicTime, date); err != nil {
		return refuse(ErrIncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '%s'.", clip(date))
	}
	if s.day != date[:8] {
		return refuse(ErrDate, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'.", clip(s.day), date[:8])
	}
	return nil
}

// parseQuery splits a query into its parameters in order. The standard
// library's drops order and what it finds odd, which must not be: what is not
// in the canonical request is not signed.
func parseQuery(raw string) ([]parameter, error) {
	var all []parameter
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return all, refuse(ErrIncompleteSignature, "The query cannot be unescaped.")
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return all, refuse(ErrIncompleteSignature, "The query cannot be unescaped.")
		}
		all = append(all, parameter{n, v})
	}
	return all, nil
}

// clip keeps what a stranger wrote from filling a message.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}
