package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storeurl"
)

// openStore opens the store that a URL names. Nothing else of the program knows
// where the sessions are kept.
func openStore(ctx context.Context, storeURL string) (sessiondata.Store, error) {
	store, err := storeurl.Open(ctx, storeURL)
	if errors.Is(err, sessiondata.ErrInvalid) {
		return nil, fmt.Errorf("%w: -store %q: %w", errUsage, storeurl.Redacted(storeURL), err)
	}
	return store, err
}
