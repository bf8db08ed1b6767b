package brokerhttp_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/thingloom/thingloom/broker/brokerhttp"
)

// Whoever shows the token may publish below its own name, devices with a
// certificate are who the certificate says.
func Example() {
	h, err := brokerhttp.New(b, &brokerhttp.Options{
		Authorize: func(r *http.Request, a brokerhttp.Access) (string, error) {
			if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
				return r.TLS.PeerCertificates[0].Subject.CommonName, nil
			}
			if r.Header.Get("Authorization") != "Bearer secret" {
				return "", brokerhttp.ErrUnauthenticated
			}
			if !strings.HasPrefix(a.Topic, "admin/") {
				return "", brokerhttp.ErrForbidden
			}
			return "admin", nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, topic := range []string{"admin/lights", "other"} {
		r := httptest.NewRequest("POST", "/topics/"+topic+"?qos=1", strings.NewReader(`{"on":true}`))
		r.Header.Set("Authorization", "Bearer secret")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%s: %d %q\n", topic, w.Code, w.Header().Get("X-Amzn-Errortype"))
	}
	// Output:
	// admin/lights: 200 ""
	// other: 403 "ForbiddenException"
}

// b stands for the program's *broker.Broker.
var b = &fake{}
