package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// revocationLists reads the lists of revoked certificates (CRLs, DER or PEM)
// that somebody has put into the folder crls of the data folder. They are
// trusted as the folder is.
func (b *backend) revocationLists(context.Context) ([]*x509.RevocationList, error) {
	folder := b.cfg.path("crls")
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lists []*x509.RevocationList
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		der, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(der); block != nil {
			der = block.Bytes
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		lists = append(lists, list)
	}
	return lists, nil
}
