package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/thingloom/thingloom/actions/webhook"
	"github.com/thingloom/thingloom/registry/awsauth"
)

// roles are the access keys of -roles by the ARN of the role they stand for: who the
// action http signs as. A file is read once, at the start.
type roles map[string]roleKey

type roleKey struct {
	id string
	awsauth.Key
}

// loadRoles reads a credentials file as AWS clients have it, with an ARN for each section:
//
//	[arn:aws:iam::123456789012:role/poster]
//	aws_access_key_id = ...
//	aws_secret_access_key = ...
func loadRoles(file string) (roles, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("-roles: %w", err)
	}
	all, arn := roles{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			arn = strings.TrimSpace(line[1 : len(line)-1])
			all[arn] = roleKey{}
			continue
		case !ok || arn == "":
			return nil, fmt.Errorf("-roles: %s: a line that is neither a section nor name = value", file)
		}
		key := all[arn]
		switch name {
		case "aws_access_key_id":
			key.id = value
		case "aws_secret_access_key":
			key.Secret = value
		case "aws_session_token":
			key.SessionToken = value
		}
		all[arn] = key
	}
	for arn, key := range all {
		if key.id == "" || key.Secret == "" {
			return nil, fmt.Errorf("-roles: %s: %s has no aws_access_key_id or no aws_secret_access_key", file, arn)
		}
	}
	return all, nil
}

// sign is webhook.Options.Sign.
func (r roles) sign(a webhook.SigV4) (func(*http.Request, []byte) error, error) {
	key, ok := r[string(a.RoleARN)]
	if !ok {
		return nil, errors.New("-roles has no credentials of " + string(a.RoleARN))
	}
	return func(q *http.Request, body []byte) error {
		return awsauth.Sign(q, body, key.id, key.Key, a.SigningRegion, a.ServiceName, time.Now())
	}, nil
}
