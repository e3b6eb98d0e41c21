package sessiondata_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

func TestListOfAStoreThatCannotListIsAnErrorOrEmptyWithOneWarning(t *testing.T) {
	inner := memstore.New(memstore.Config{})
	for name, store := range map[string]sd.Store{
		"no Lister":                struct{ sd.Store }{inner},
		"a Lister that is not one": storetest.NewFaulty(struct{ sd.Store }{inner}, storetest.FaultConfig{}),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := sd.NewContainer(store, sd.Config{})
			require.NoError(t, err)
			require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
			n := 0
			for s, err := range c.All(t.Context()) {
				n++
				require.Nil(t, s)
				require.ErrorIs(t, err, sd.ErrNotSupported)
			}
			require.Equal(t, 1, n)

			var logged bytes.Buffer
			before := slog.Default()
			slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
			defer slog.SetDefault(before)
			c, err = sd.NewContainer(store, sd.Config{List: sd.ListEmpty})
			require.NoError(t, err)
			for range 3 {
				require.Empty(t, listing(t, c))
			}
			require.Equal(t, 1, strings.Count(logged.String(), "cannot list"))
			require.Contains(t, logged.String(), "level=WARN")
		})
	}
	_, err := sd.NewContainer(inner, sd.Config{List: sd.ListEmpty + 1})
	require.ErrorIs(t, err, sd.ErrInvalid)
	require.ErrorContains(t, err, "List is not a policy")
}

// lists is a listing that a test has made up.
type lists func(yield func(sd.KeyInfo, error) bool)

func (l lists) Keys(context.Context, string) iter.Seq2[sd.KeyInfo, error] {
	return iter.Seq2[sd.KeyInfo, error](l)
}

func TestListThatFailsHalfWaySaysSoUnderEitherPolicy(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, err := sd.NewContainer(store, sd.Config{})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
	for _, failure := range []error{sd.ErrNotSupported, sd.ErrUnavailable, errors.New("no error of the library")} {
		half := lists(func(yield func(sd.KeyInfo, error) bool) {
			for info := range store.Keys(t.Context(), "") {
				if !yield(info, nil) {
					return
				}
			}
			yield(sd.KeyInfo{}, failure)
		})
		for _, policy := range []sd.ListPolicy{sd.ListError, sd.ListEmpty} {
			c, err := sd.NewContainer(&listable{store, half}, sd.Config{List: policy})
			require.NoError(t, err)
			var errs []error
			for _, err := range c.All(t.Context()) {
				errs = append(errs, err)
			}
			require.Len(t, errs, 2)
			require.NoError(t, errs[0])
			require.ErrorIs(t, errs[1], failure)
			if !errors.Is(failure, sd.ErrNotSupported) {
				require.ErrorIs(t, errs[1], sd.ErrUnavailable)
			}
		}
	}
}

func TestListEndsWithItsContextItsConsumerOrItsContainer(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, err := sd.NewContainer(store, sd.Config{})
	require.NoError(t, err)
	for i := range 5 {
		require.NoError(t, c.Update(t.Context(), id(i), setIn("p", "k", i)))
	}
	n := 0
	for _, err := range c.All(t.Context()) {
		require.NoError(t, err)
		if n++; n == 2 {
			break
		}
	}
	require.Equal(t, 2, n)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	n = 0
	for s, err := range c.All(ctx) {
		n++
		cancel()
		if last = err; s == nil {
			break
		}
	}
	require.Equal(t, 2, n)
	require.ErrorIs(t, last, context.Canceled)

	// A store that goes on listing does not keep it.
	endless := lists(func(yield func(sd.KeyInfo, error) bool) {
		for yield(sd.KeyInfo{Key: "session:" + strings.Repeat("A", 43)}, nil) {
		}
	})
	e, err := sd.NewContainer(&listable{store, endless}, sd.Config{})
	require.NoError(t, err)
	for _, err := range e.All(ctx) {
		require.ErrorIs(t, err, context.Canceled)
	}

	require.NoError(t, c.Close())
	for s, err := range c.All(t.Context()) {
		require.Nil(t, s)
		require.ErrorIs(t, err, sd.ErrClosed)
	}
}
