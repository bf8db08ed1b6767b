package awsauth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// The sentinels, each with what the client is told.
var (
	// ErrMissingToken reports a request without signature and certificate:
	// 403 MissingAuthenticationTokenException.
	ErrMissingToken = errors.New("awsauth: no signature and no certificate")

	// ErrIncompleteSignature reports a signature that cannot be read, or that
	// leaves out what has to be signed: 400 IncompleteSignatureException.
	ErrIncompleteSignature = errors.New("awsauth: incomplete signature")

	// ErrUnknownKey reports an access key that Keys does not know, or a wrong
	// session token: 403 UnrecognizedClientException.
	ErrUnknownKey = errors.New("awsauth: unknown access key")

	// ErrExpiredKey reports an access key behind Key.Expires: 403 ExpiredTokenException.
	ErrExpiredKey = errors.New("awsauth: access key expired")

	// ErrSignature reports a signature other than the one computed, made with
	// another secret or of another request: 403 InvalidSignatureException.
	ErrSignature = errors.New("awsauth: signature does not match")

	// ErrDate reports a date too far from the clock, or a presigned URL that is
	// not valid any more: 403 InvalidSignatureException.
	ErrDate = errors.New("awsauth: date out of range")

	// ErrScope reports a credential for another service or region:
	// 403 InvalidSignatureException.
	ErrScope = errors.New("awsauth: credential for another scope")

	// ErrPayload reports a kind of payload signature that is not supported:
	// 400 InvalidRequestException.
	ErrPayload = errors.New("awsauth: unsupported payload signature")

	// ErrTooLarge reports a body above Options.MaxBodyBytes:
	// 413 RequestEntityTooLargeException.
	ErrTooLarge = errors.New("awsauth: body too large")

	// ErrBody reports a body that could not be read to its end:
	// 400 InvalidRequestException.
	ErrBody = errors.New("awsauth: body not readable")

	// ErrCertificate reports a client certificate that Options.Certificate
	// refuses: 403 ForbiddenException, as a device with a certificate that is
	// revoked or unknown is told.
	ErrCertificate = errors.New("awsauth: certificate refused")
)

// refusals is the table from sentinel to answer; the first row that fits
// counts. Where text is empty the error's own is told: it is about what the
// client sent. What is in no row is 500.
var refusals = []struct {
	err    error
	status int
	name   string
	text   string
}{
	{ErrMissingToken, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token"},
	{ErrIncompleteSignature, http.StatusBadRequest, "IncompleteSignatureException", ""},
	{ErrUnknownKey, http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid."},
	{ErrExpiredKey, http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired"},
	{ErrSignature, http.StatusForbidden, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."},
	{ErrDate, http.StatusForbidden, "InvalidSignatureException", ""},
	{ErrScope, http.StatusForbidden, "InvalidSignatureException", ""},
	{ErrPayload, http.StatusBadRequest, "InvalidRequestException", ""},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", ""},
	{ErrBody, http.StatusBadRequest, "InvalidRequestException", "The body could not be read"},
	{ErrCertificate, http.StatusForbidden, "ForbiddenException", "Forbidden"},
}

// A RequestError says what about a request is wrong, in the client's words.
type RequestError struct {
	Err    error // the sentinel
	Reason string
}

func (e *RequestError) Error() string { return e.Err.Error() + ": " + e.Reason }

// Unwrap returns the sentinel.
func (e *RequestError) Unwrap() error { return e.Err }

func refuse(sentinel error, format string, args ...any) error {
	return &RequestError{sentinel, fmt.Sprintf(format, args...)}
}

// Describe returns what a client is told of an error of this package, and 500
// InternalFailureException for any other.
func Describe(err error) (status int, name, message string) {
	for _, r := range refusals {
		if !errors.Is(err, r.err) {
			continue
		}
		text := r.text
		if re, ok := errors.AsType[*RequestError](err); ok && text == "" {
			text = re.Reason
		}
		if text == "" {
			text = r.err.Error()
		}
		return r.status, r.name, text
	}
	return http.StatusInternalServerError, "InternalFailureException", "Internal failure"
}

// answer writes a refusal.
func answer(w http.ResponseWriter, err error) {
	status, name, text := Describe(err)
	body, err := json.Marshal(struct {
		Message string `json:"message"`
	}{text})
	if err != nil {
		panic(err) // a string always marshals
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", name)
	w.Header().Set("x-amzn-RequestId", rand.Text())
	// The body may not have been read: a client that goes on sending is cut off.
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	w.Write(body)
}
