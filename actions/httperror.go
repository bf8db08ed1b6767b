package actions

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// HTTPError is what an HTTP answer means for a plugin named plugin: nil for
// 2xx; for 429 and 5xx an error to be tried again, after the time that the
// server asks for by Retry-After; for any other a Permanent one. body is what
// was read of the answer, for the error's text.
func HTTPError(plugin string, answer *http.Response, body []byte) error {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err := fmt.Errorf("%s: server answered %s: %.200s", plugin, answer.Status, bytes.TrimSpace(body))
	if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
		return Permanent(err)
	}
	if wait := retryAfterHeader(answer.Header.Get("Retry-After")); wait > 0 {
		return RetryAfter(err, wait)
	}
	return err
}

// retryAfterHeader reads seconds or a date (RFC 9110, 10.2.3); anything else is zero.
func retryAfterHeader(text string) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}
