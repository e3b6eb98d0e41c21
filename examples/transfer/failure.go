package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// step is where an order is made to fail; main.go says what each of them means.
type step string

const (
	stepTake     step = "take"
	stepCart     step = "cart"
	stepBook     step = "book"
	stepPrepare  step = "prepare"
	stepCommit   step = "commit"
	stepConflict step = "conflict"
	stepAnswer   step = "answer" // made by the database: see openDatabase
)

var steps = []step{stepTake, stepCart, stepBook, stepPrepare, stepCommit, stepConflict, stepAnswer}

var errOnDemand = errors.New("failed on demand")

// failure makes an order fail.
type failure struct {
	step  step
	shop  *shop
	taken int // pieces that another visitor took meanwhile
}

// at fails after a step that changes a session.
func (f *failure) at(ctx context.Context, s step) error {
	if s == stepTake && f.step == stepConflict && f.taken == 0 {
		f.taken = 1
		return f.shop.shared.Update(ctx, stockID, func(stock *sd.Session) error {
			return sd.Modify(stock.Pkg(goods), pieces, func(left *int) error { *left -= f.taken; return nil })
		})
	}
	if s == f.step {
		return fmt.Errorf("%w: %s", errOnDemand, s)
	}
	return nil
}

// atBooking arranges for the database, or one who commits before it, to refuse.
func (f *failure) atBooking(ctx context.Context, tx *sd.Txn, sqlTx *sql.Tx) error {
	switch f.step {
	case stepBook:
		return book(ctx, sqlTx, "an order of nothing", 0)
	case stepPrepare:
		return tx.Join(&carrier{})
	case stepCommit:
		return bookUnpaid(ctx, sqlTx)
	}
	return nil
}

// carrier stands for another participant of the transaction, one that can say
// before the commit that it cannot.
type carrier struct{}

func (*carrier) Prepare(context.Context) error {
	return fmt.Errorf("%w: the carrier does not deliver there", errOnDemand)
}
func (*carrier) Commit(context.Context) error   { return nil }
func (*carrier) Rollback(context.Context) error { return nil }
