package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

const (
	stockAtFirst = 10
	ordered      = 3
)

// shop keeps its stock in a session that all visitors share, and a cart in one
// session for each of them. The orders are in the database.
type shop struct {
	shared   *sd.Container
	visitors *sd.Container
	db       *sql.DB
}

const (
	stockID = "stock" // the id of the shared session
	goods   = "goods" // a package in either
	pieces  = "pieces"
)

var errSoldOut = errors.New("sold out")

func openShop(ctx context.Context, store sd.Store, db *sql.DB) (*shop, error) {
	shared, err := sd.NewContainer(store, sd.Config{Name: "shared", Timeout: sd.NoTimeout})
	if err != nil {
		return nil, err
	}
	visitors, err := sd.NewContainer(store, sd.Config{Name: "visitors"})
	if err != nil {
		return nil, err
	}
	err = shared.Update(ctx, stockID, func(s *sd.Session) error {
		_, err := sd.SetDefault(s.Pkg(goods), pieces, stockAtFirst)
		return err
	})
	return &shop{shared, visitors, db}, err
}

// newVisitor returns the session of a visitor who has filled a cart.
func (s *shop) newVisitor(ctx context.Context) (id string, err error) {
	err = sd.Run(ctx, func(tx *sd.Txn) error {
		visitor, err := s.visitors.New(ctx, tx)
		if err != nil {
			return err
		}
		id = visitor.ID()
		return visitor.Pkg(goods).Set(pieces, ordered)
	})
	return id, err
}

// order is the transaction: everything in it happens, or nothing does. It may
// run several times.
func (s *shop) order(ctx context.Context, tx *sd.Txn, visitorID string, f *failure) error {
	stock, err := s.shared.Session(ctx, tx, stockID)
	if err != nil {
		return err
	}
	visitor, err := s.visitors.Existing(ctx, tx, visitorID)
	if err != nil {
		return err
	}
	cart := visitor.Pkg(goods)
	n, err := sd.Get[int](cart, pieces)
	if err != nil {
		return err
	}

	// Take the pieces from the stock.
	err = sd.Modify(stock.Pkg(goods), pieces, func(left *int) error {
		if *left < n {
			return errSoldOut
		}
		*left -= n
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.at(ctx, stepTake); err != nil {
		return err
	}

	// Empty the cart.
	if err := cart.Delete(pieces); err != nil {
		return err
	}
	if err := f.at(ctx, stepCart); err != nil {
		return err
	}

	// Book the order.
	sqlTx, err := sqltx.Begin(ctx, tx, s.db, &sqltx.Options{Dialect: sqltx.SQLite})
	if err != nil {
		return err
	}
	if err := f.atBooking(ctx, tx, sqlTx); err != nil {
		return sqltx.Conflict(err)
	}
	return sqltx.Conflict(book(ctx, sqlTx, rand.Text(), n))
}

// trade lets a visitor order, with a failure, and tells what came of it.
func (s *shop) trade(ctx context.Context, at step) (*report, error) {
	visitor, err := s.newVisitor(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{Fail: at}
	if r.Before, err = s.look(ctx, visitor); err != nil {
		return nil, err
	}
	f := &failure{step: at, shop: s}
	var last *sd.Txn
	failed := sd.Run(ctx, func(tx *sd.Txn) error {
		last = tx
		r.Runs++
		return s.order(ctx, tx, visitor, f)
	})
	if last == nil {
		return nil, failed // ctx has ended before the first run
	}
	r.State = last.State().String()
	if failed != nil {
		r.Error = failed.Error()
	}
	r.TakenByAnother = f.taken
	// Whatever happened, also to ctx: what do they hold now?
	if r.After, err = s.look(context.WithoutCancel(ctx), visitor); err != nil {
		return nil, fmt.Errorf("after the order: %w", err)
	}
	r.compare()
	return r, nil
}

// look reads all three.
func (s *shop) look(ctx context.Context, visitorID string) (holdings, error) {
	var h holdings
	err := s.shared.View(ctx, stockID, func(stock *sd.Session) (err error) {
		h.Stock, err = sd.GetOr(stock.Pkg(goods), pieces, 0)
		return err
	})
	if err != nil {
		return h, err
	}
	err = s.visitors.View(ctx, visitorID, func(visitor *sd.Session) (err error) {
		h.Cart, err = sd.GetOr(visitor.Pkg(goods), pieces, 0)
		return err
	})
	if err != nil {
		return h, err
	}
	h.Orders, err = countOrders(ctx, s.db)
	return h, err
}
