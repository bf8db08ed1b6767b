package awsauth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Sign signs a request of this program's own with Signature Version 4, for
// service in region, as any AWS endpoint but S3 verifies it (S3 has another
// canonical path). It sets X-Amz-Date, X-Amz-Content-Sha256, with a session's
// key X-Amz-Security-Token, and Authorization, in place of any that are there;
// signed are these, the host, the content type and every other X-Amz- header.
// body is what the request will send. What is signed must not change afterwards.
func Sign(r *http.Request, body []byte, keyID string, key Key, region, service string, now time.Time) error {
	if keyID == "" || key.Secret == "" || region == "" || service == "" {
		return errors.New("awsauth: Sign needs a key, a region and a service")
	}
	for _, part := range []string{region, service} {
		if strings.ContainsAny(part, "/, ") {
			return errors.New("awsauth: Sign: region or service has a slash, a comma or a space")
		}
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	now = now.UTC()
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Date", now.Format(basicTime))
	r.Header.Set("X-Amz-Content-Sha256", hash)
	r.Header.Del("X-Amz-Security-Token")
	if key.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", key.SessionToken)
	}
	s := &signature{keyID: keyID, day: now.Format("20060102"), region: region, service: service, time: now, query: query, headers: []string{"host"}}
	for name := range r.Header {
		if name = strings.ToLower(name); name == "content-type" || strings.HasPrefix(name, "x-amz-") {
			s.headers = append(s.headers, name)
		}
	}
	slices.Sort(s.headers)
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	mac := sign(signingKey(key.Secret, s), s, canonical(r, s, true, true)+hash)
	r.Header.Set("Authorization", algorithm+" Credential="+keyID+"/"+s.scope()+", SignedHeaders="+strings.Join(s.headers, ";")+", Signature="+hex.EncodeToString(mac))
	return nil
}
