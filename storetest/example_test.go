package storetest_test

import (
	"context"
	"errors"
	"fmt"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// The reply to the second write is lost: it has been applied, but the caller
// cannot know.
func ExampleNewFaulty() {
	ctx := context.Background()
	inner := memstore.New(memstore.Config{})
	store := storetest.NewFaulty(inner, storetest.FaultConfig{
		Plan: map[int]storetest.Fault{2: storetest.LoseReply},
	})

	fmt.Println(store.Add(ctx, "a", []byte("1"), 0))
	err := store.Add(ctx, "b", []byte("2"), 0)
	fmt.Println(errors.Is(err, sd.ErrOutcomeUnknown))
	it, err := inner.Get(ctx, "b")
	fmt.Println(string(it.Value), err)
	fmt.Println(store)
	// Output:
	// <nil>
	// true
	// 2 <nil>
	// seed 0: 2 calls, 2 writes, 1 LoseReply
}
