package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// maxQuantity is the most of one product that a cart holds.
const maxQuantity = 99

var errFull = errors.New("the cart holds 99 of it already")

// readCart returns the cart of a session, in the order of the catalogue.
func readCart(s *sd.Session) (cart, error) {
	var c cart
	for _, p := range catalogue {
		n, err := sd.GetOr(s.Pkg(cartPkg), p.ID, 0)
		if err != nil {
			return c, err
		}
		if n > 0 {
			c.add(p, n)
		}
	}
	return c, nil
}

func (s *shop) showCatalogue(v *visit) error {
	return s.render(v, "catalogue", catalogue)
}

func (s *shop) showCart(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	c, err := readCart(v.session)
	if err != nil {
		return err
	}
	return s.render(v, "cart", c)
}

// addToCart adds one of a product. Parallel additions of different products are
// merged by key; of the same product, one of them runs again and counts on from
// what the other has stored.
func (s *shop) addToCart(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	p, ok := findProduct(v.r.FormValue("product"))
	if !ok {
		return s.badRequest(v, "There is no such product.")
	}
	n := 0
	err := sd.Modify(v.session.Pkg(cartPkg), p.ID, func(quantity *int) error {
		if *quantity >= maxQuantity {
			return errFull
		}
		*quantity++
		n = *quantity
		return nil
	})
	if errors.Is(err, errFull) {
		return s.badRequest(v, "The cart holds 99 of it already.")
	}
	if err != nil {
		return err
	}
	v.trace.note("change", "%s/%s = %d", cartPkg, p.ID, n)
	think(v.r)
	if v.r.Header.Get("Accept") == "application/json" {
		c, err := readCart(v.session)
		if err != nil {
			return err
		}
		return answerCount(v.w, c.Count)
	}
	return v.seeOther("/cart")
}

func answerCount(w http.ResponseWriter, n int) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := fmt.Fprintf(w, `{"count": %d}`, n)
	return err
}

// think is the time that a real shop takes for prices and stock. The button for
// parallel additions asks for it: without, they hardly ever meet.
func think(r *http.Request) {
	if r.FormValue("think") != "" {
		time.Sleep(15 * time.Millisecond)
	}
}

func (s *shop) setInCart(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	p, ok := findProduct(v.r.FormValue("product"))
	n, err := strconv.Atoi(v.r.FormValue("quantity"))
	if !ok || err != nil || n < 0 || n > maxQuantity {
		return s.badRequest(v, "There is no such product, or not so many of it.")
	}
	if n > 0 {
		err = v.set(cartPkg, p.ID, n)
	} else {
		v.trace.note("change", "%s/%s: deleted", cartPkg, p.ID)
		err = v.session.Pkg(cartPkg).Delete(p.ID)
	}
	if err != nil {
		return err
	}
	return v.seeOther("/cart")
}
