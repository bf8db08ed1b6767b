package awsauth

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// canonical is the text that is signed, without the hash of the body that
// ends it. Where clients differ it takes what to do.
func canonical(r *http.Request, s *signature, normalize, withToken bool) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(escapedPath(r), normalize) + "\n" + canonicalQuery(s.query, withToken) + "\n")
	for _, name := range s.headers {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n")
	return b.String()
}

// escapedPath is the path as it came over the wire.
func escapedPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // not from a server, or of the form http://host/path
		path = r.URL.EscapedPath()
	}
	if path == "" {
		return "/"
	}
	return path
}

// canonicalPath escapes the path once more, as all services but S3 have it. Some
// SDKs also remove empty segments and dots.
func canonicalPath(path string, normalize bool) string {
	if normalize {
		var kept []string
		for seg := range strings.SplitSeq(path, "/") {
			switch seg {
			case "", ".":
			case "..":
				kept = kept[:max(len(kept)-1, 0)]
			default:
				kept = append(kept, seg)
			}
		}
		slash := ""
		if strings.HasSuffix(path, "/") && len(kept) > 0 {
			slash = "/"
		}
		path = "/" + strings.Join(kept, "/") + slash
	}
	return escape(path, true)
}

// canonicalQuery is sorted by the escaped names, then values; the signature
// itself is not part of it.
func canonicalQuery(query []parameter, withToken bool) string {
	var all []parameter
	for _, p := range query {
		if p.name == "X-Amz-Signature" || p.name == "X-Amz-Security-Token" && !withToken {
			continue
		}
		all = append(all, parameter{escape(p.name, false), escape(p.value, false)})
	}
	slices.SortFunc(all, func(a, b parameter) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value)) })
	var b strings.Builder
	for i, p := range all {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String()
}

// headerValue joins the values of a header, spaces at their ends removed and
// those inside made one.
func headerValue(r *http.Request, name string) string {
	values := r.Header.Values(name)
	switch {
	case name == "host":
		values = []string{r.Host}
	case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' || c == '\t' }), " ")
	}
	return strings.Join(trimmed, ",")
}

// unsignedHeaders lists the X-Amz- headers of r that the signature leaves out.
// Proxies and browsers add some on the way; those change nothing.
func unsignedHeaders(r *http.Request, s *signature) (names []string) {
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && name != "x-amz-user-agent" && name != "x-amz-cf-id" && !slices.Contains(s.headers, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// escape is the percent-encoding of RFC 3986; slashes may be left alone.
func escape(s string, slashes bool) string {
	const digits = "0123456789ABCDEF"
	plain := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~' || slashes && c == '/'
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
