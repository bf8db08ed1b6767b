package awsauth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The values of X-Amz-Content-Sha256 that are no hash.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	streaming       = "STREAMING-"
)

// verifySignature checks what costs little first: the body of a stranger is
// not read.
func (a *Authenticator) verifySignature(w http.ResponseWriter, r *http.Request, s *signature) (Identity, error) {
	if !slices.Contains(a.opts.Services, s.service) {
		return Identity{}, refuse(ErrScope, "Credential should be scoped to correct service: '%s'.", a.opts.Services[0])
	}
	if a.opts.Region != "" && s.region != a.opts.Region {
		return Identity{}, refuse(ErrScope, "Credential should be scoped to a valid region, not '%s'.", clip(s.region))
	}
	if err := a.checkTime(s); err != nil {
		return Identity{}, err
	}
	if left := unsignedHeaders(r, s); len(left) > 0 {
		return Identity{}, refuse(ErrIncompleteSignature, "The header '%s' must be signed.", clip(left[0]))
	}
	key, err := a.keys.Key(r.Context(), s.keyID)
	if err != nil {
		return Identity{}, fmt.Errorf("awsauth: key: %w", err)
	}
	if !key.Expires.IsZero() && !a.opts.Now().Before(key.Expires) {
		return Identity{}, ErrExpiredKey
	}
	if subtle.ConstantTimeCompare([]byte(key.SessionToken), []byte(s.token)) == 0 {
		return Identity{}, refuse(ErrUnknownKey, "the session token is another one")
	}
	hash, err := a.payloadHash(w, r)
	if err != nil {
		return Identity{}, err
	}
	if !matches(r, s, signingKey(key.Secret, s), hash) {
		return Identity{}, ErrSignature
	}
	return Identity{Principal: key.Principal, AccessKeyID: s.keyID, Service: s.service, Region: s.region}, nil
}

// checkTime refuses what was signed too early or too late.
func (a *Authenticator) checkTime(s *signature) error {
	now := a.opts.Now().UTC()
	valid := a.opts.Skew
	if s.expires > 0 {
		if valid = s.expires; valid > a.opts.MaxPresigned {
			return refuse(ErrDate, "X-Amz-Expires must be at most %d seconds.", int(a.opts.MaxPresigned/time.Second))
		}
	}
	if begin := s.time.Add(-a.opts.Skew); now.Before(begin) {
		return refuse(ErrDate, "Signature not yet current: %s is still later than %s (%s + %s.)",
			s.time.Format(basicTime), now.Add(a.opts.Skew).Format(basicTime), now.Format(basicTime), a.opts.Skew)
	}
	if end := s.time.Add(valid); now.After(end) {
		return refuse(ErrDate, "Signature expired: %s is now earlier than %s (%s - %s.)",
			s.time.Format(basicTime), now.Add(-valid).Format(basicTime), now.Format(basicTime), valid)
	}
	return nil
}

// payloadHash is what ends the canonical request. It reads the body, as far as
// is allowed, and leaves a copy in r.
func (a *Authenticator) payloadHash(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength > a.opts.MaxBodyBytes {
		return "", refuse(ErrTooLarge, "The body has %d bytes, %d are allowed.", r.ContentLength, a.opts.MaxBodyBytes)
	}
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case strings.HasPrefix(claimed, streaming):
		return "", refuse(ErrPayload, "A payload of the kind '%s' is not supported: sign the body as a whole.", clip(claimed))
	case claimed == unsignedPayload && !a.opts.UnsignedPayload:
		return "", refuse(ErrPayload, "The payload must be signed.")
	case r.Body == nil:
		r.Body = http.NoBody
	}
	body := http.MaxBytesReader(w, r.Body, a.opts.MaxBodyBytes)
	if claimed == unsignedPayload {
		r.Body = body
		return claimed, nil
	}
	text, err := io.ReadAll(body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return "", refuse(ErrTooLarge, "The body has more than the %d bytes that are allowed.", a.opts.MaxBodyBytes)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBody, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	sum := sha256.Sum256(text)
	hash := hex.EncodeToString(sum[:])
	if claimed != "" && claimed != hash {
		return "", refuse(ErrSignature, "the body has another hash than X-Amz-Content-Sha256")
	}
	return hash, nil
}

// matches compares the signature with those of each way in which clients write
// the same request. Nothing of a secret shows in how long that takes.
func matches(r *http.Request, s *signature, key []byte, hash string) bool {
	path := escapedPath(r)
	normalize := []bool{false}
	if canonicalPath(path, false) != canonicalPath(path, true) {
		normalize = append(normalize, true)
	}
	withToken := []bool{true}
	if s.presigned && s.token != "" {
		withToken = append(withToken, false)
	}
	for _, n := range normalize {
		for _, t := range withToken {
			if hmac.Equal(s.mac, sign(key, s, canonical(r, s, n, t)+hash)) {
				return true
			}
		}
	}
	return false
}

// sign is the signature of a canonical request.
func sign(key []byte, s *signature, request string) []byte {
	sum := sha256.Sum256([]byte(request))
	return mac(key, algorithm+"\n"+s.time.Format(basicTime)+"\n"+s.scope()+"\n"+hex.EncodeToString(sum[:]))
}

func (s *signature) scope() string {
	return s.day + "/" + s.region + "/" + s.service + "/aws4_request"
}

func signingKey(secret string, s *signature) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.day, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
