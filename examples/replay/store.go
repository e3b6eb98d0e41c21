package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// openStore opens the store that a URL names.
func openStore(_ context.Context, storeURL string) (sessiondata.Store, error) {
	if storeURL != "memory:" {
		return nil, fmt.Errorf("%w: -store %q: only memory: is known", errUsage, redacted(storeURL))
	}
	return memstore.New(memstore.Config{}), nil
}

// redacted is a store's URL as it may be shown: without a password.
func redacted(storeURL string) string {
	u, err := url.Parse(storeURL)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
