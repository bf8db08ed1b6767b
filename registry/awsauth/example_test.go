package awsauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/thingloom/thingloom/registry/awsauth"
)

func Example() {
	auth, err := awsauth.New(awsauth.StaticKeys{"AKIDEXAMPLE": {Secret: "secret", Principal: "admin"}}, nil)
	if err != nil {
		panic(err)
	}
	h := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := awsauth.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s", id.Principal)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/things", nil)) // not signed
	fmt.Println(w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body)
	// Output: 403 MissingAuthenticationTokenException {"message":"Missing Authentication Token"}
}
