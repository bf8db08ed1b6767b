package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/thingloom/thingloom/registry/awsauth"
)

// An admin is the credential that changes things over HTTP: a bearer token, or
// for AWS clients an access key, made on the first start and kept in files that only
// their owner may read.
type admin struct {
	hash   [32]byte // of the token, so that comparing takes the same time for any length
	signed *awsauth.Authenticator
	// all asks for the token for reading too, since the listener is not bound to loopback.
	all bool
}

func loadAdmin(file string, all bool) (*admin, error) {
	token, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		var b [24]byte
		rand.Read(b[:])
		token = []byte(hex.EncodeToString(b[:]))
		err = writeFile(file, append(token, '\n'), 0o600)
	}
	if err != nil {
		return nil, err
	}
	return &admin{hash: sha256.Sum256([]byte(strings.TrimSpace(string(token)))), all: all}, nil
}

// adminPrincipal is who acts with the admin token or the access key.
const adminPrincipal = "admin"

// loadKey makes the access key if there is none. The file has the form that AWS
// clients read: AWS_SHARED_CREDENTIALS_FILE.
func loadKey(file string) (*awsauth.Authenticator, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = fmt.Appendf(nil, "[default]\naws_access_key_id = AKIA%s\naws_secret_access_key = %s\n", rand.Text()[:16], rand.Text()+rand.Text()[:14])
		err = writeFile(file, text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	id, secret := values["aws_access_key_id"], values["aws_secret_access_key"]
	if id == "" || secret == "" {
		return nil, fmt.Errorf("%s has no aws_access_key_id or no aws_secret_access_key", file)
	}
	return awsauth.New(awsauth.StaticKeys{id: {Secret: secret, Principal: adminPrincipal}}, nil)
}

// is reports whether r carries the token: as a bearer, or as the password of
// basic authentication, which is what a browser sends.
func (a *admin) is(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, token, ok = r.BasicAuth()
	}
	hash := sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(hash[:], a.hash[:]) == 1
}

// write lets only the admin through.
func (a *admin) write(next http.Handler) http.Handler {
	signed := a.signed.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") || r.URL.Query().Has("X-Amz-Signature") {
			signed.ServeHTTP(w, r)
			return
		}
		if !a.is(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="thingloom"`)
			w.Header().Set("x-amzn-ErrorType", "UnauthorizedException")
			answer(w, http.StatusUnauthorized, map[string]string{"message": "this needs the admin token: Authorization: Bearer <token>"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// read lets everybody through who can reach a loopback listener.
func (a *admin) read(next http.Handler) http.Handler {
	if a.all {
		return a.write(next)
	}
	return next
}

// writeFile writes a file whole: a crash leaves the old content or the new one.
func writeFile(file string, content []byte, mode fs.FileMode) error {
	temporary := file + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
