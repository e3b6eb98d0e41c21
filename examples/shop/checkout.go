package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// The cards of the demonstration.
const (
	goodCard     = "4242 4242 4242 4242"
	declinedCard = "4000 0000 0000 0002"
)

var errDeclined = errors.New("the card was declined")

// order is what the order page shows.
type order struct {
	Number string
	State  string // reserved, shipped
	Total  int    // cents
	Items  int
	Card   string // charged: the last four digits
	Steps  []orderStep
}

// orderStep is one step of the checkout, as the page shows it.
type orderStep struct {
	Name, Outcome, Text string // Outcome: done, back, open
}

// The steps of a checkout. Their outcomes are in the session, under their names.
var stepNames = []string{"reserve", "charge", "ship"}

const (
	stepOpen     = "open"
	stepDone     = "done"
	stepDeclined = "declined"
)

func (s *shop) showCheckout(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	c, err := readCart(v.session)
	if err != nil {
		return err
	}
	if c.Count == 0 {
		return v.seeOther("/cart")
	}
	return s.render(v, "checkout", struct {
		cart
		Good, Declined string
	}{c, goodCard, declinedCard})
}

// checkOut is a workflow in one transaction. Each step stands under a savepoint:
// one that fails takes back its own changes, and those before it stay.
func (s *shop) checkOut(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	c, err := readCart(v.session)
	if err != nil {
		return err
	}
	if c.Count == 0 {
		return s.badRequest(v, "The cart is empty: it was ordered in another tab, perhaps.")
	}
	if err := v.step("reserve", func() error { return s.reserve(v, rand.Text()[:8], c) }); err != nil {
		return err
	}
	err = v.step("charge", func() error { return s.charge(v, c.Cents) })
	if errors.Is(err, errDeclined) {
		if err := v.set(stepPkg, "charge", stepDeclined); err != nil {
			return err
		}
		return v.seeOther("/order")
	}
	if err != nil {
		return err
	}
	if err := v.step("ship", func() error { return s.ship(v) }); err != nil {
		return err
	}
	return v.seeOther("/order")
}

func (s *shop) reserve(v *visit, number string, c cart) error {
	return errors.Join(
		v.drop(orderPkg),
		v.drop(cardPkg),
		v.set(orderPkg, "number", number),
		v.set(orderPkg, "items", c.Count),
		v.set(orderPkg, "total", c.Cents),
		v.set(orderPkg, "state", "reserved"),
		v.set(stepPkg, "reserve", stepDone),
		v.set(stepPkg, "charge", stepOpen),
		v.set(stepPkg, "ship", stepOpen),
	)
}

// charge notes the payment before it asks the bank, so that a card that is
// declined leaves something to take back.
func (s *shop) charge(v *visit, cents int) error {
	digits := strings.Join(strings.Fields(v.r.FormValue("card")), "")
	if len(digits) < 4 {
		return errDeclined
	}
	err := errors.Join(
		v.set(cardPkg, "last four", digits[len(digits)-4:]),
		v.set(cardPkg, "charged", cents),
		v.set(orderPkg, "state", "paid"),
		v.set(stepPkg, "charge", stepDone),
		v.drop(cartPkg),
	)
	if err == nil && digits != strings.ReplaceAll(goodCard, " ", "") {
		err = errDeclined
	}
	return err
}

func (s *shop) ship(v *visit) error {
	return errors.Join(v.set(orderPkg, "state", "shipped"), v.set(stepPkg, "ship", stepDone))
}

func (s *shop) showOrder(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	o, err := readOrder(v.session)
	if errors.Is(err, sd.ErrKeyNotFound) {
		return v.seeOther("/cart")
	}
	if err != nil {
		return err
	}
	return s.render(v, "order", o)
}

func readOrder(s *sd.Session) (o order, err error) {
	p := s.Pkg(orderPkg)
	card, cardErr := sd.GetOr(s.Pkg(cardPkg), "last four", "")
	o.Card = card
	err = errors.Join(
		p.Get("number", &o.Number), p.Get("state", &o.State), p.Get("total", &o.Total), p.Get("items", &o.Items), cardErr,
	)
	done := map[string]string{
		"reserve": fmt.Sprintf("%d items are kept for you for an hour", o.Items),
		"charge":  euros(o.Total) + " charged",
		"ship":    "On its way",
	}
	for _, name := range stepNames {
		outcome, stepErr := sd.GetOr(s.Pkg(stepPkg), name, stepOpen)
		err = errors.Join(err, stepErr)
		step := orderStep{Name: strings.ToUpper(name[:1]) + name[1:], Outcome: outcome, Text: "Not begun"}
		switch outcome {
		case stepDone:
			step.Text = done[name]
		case stepDeclined:
			step.Outcome, step.Text = "back", "Taken back to the savepoint: "+errDeclined.Error()
		}
		o.Steps = append(o.Steps, step)
	}
	return o, err
}
