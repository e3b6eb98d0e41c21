package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// report is what the program tells, as -json prints it.
type report struct {
	Fail   step     `json:"fail,omitempty"`
	State  string   `json:"state"` // of the last transaction
	Error  string   `json:"error,omitempty"`
	Runs   int      `json:"runs"` // of the order
	Before holdings `json:"before"`
	After  holdings `json:"after"`
	// TakenByAnother are pieces that another visitor took from the stock.
	TakenByAnother int `json:"takenByAnother"`
	// Agree: all of the order happened, or nothing.
	Agree bool `json:"agree"`
}

// holdings are what the two sessions and the database hold.
type holdings struct {
	Stock  int `json:"stock"`  // pieces in the shared session
	Cart   int `json:"cart"`   // pieces in the visitor's session
	Orders int `json:"orders"` // rows in the database
}

func (r *report) compare() {
	nothing, all := r.Before, r.Before
	nothing.Stock -= r.TakenByAnother
	all.Stock -= r.TakenByAnother + ordered
	all.Cart, all.Orders = 0, all.Orders+1
	r.Agree = r.After == nothing || r.After == all
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r *report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t%6s\t%6s\n", "before", "after")
	row := func(name string, before, after int) { fmt.Fprintf(t, "%s\t%6d\t%6d\n", name, before, after) }
	row("stock, a shared session", r.Before.Stock, r.After.Stock)
	row("cart, the visitor's session", r.Before.Cart, r.After.Cart)
	row("orders, in SQLite", r.Before.Orders, r.After.Orders)
	if err := t.Flush(); err != nil {
		return err
	}
	outcome := r.State
	if r.Runs > 1 {
		outcome += fmt.Sprintf(", in run %d", r.Runs)
	}
	if r.TakenByAnother > 0 {
		outcome += fmt.Sprintf("; meanwhile another visitor took %d", r.TakenByAnother)
	}
	if r.Error != "" {
		outcome += "\n" + r.Error
	}
	verdict := "they agree"
	if !r.Agree {
		verdict = "THEY DO NOT AGREE: ask the database for the order before running it again"
	}
	_, err := fmt.Fprintf(w, "\n%s\n%s\n", outcome, verdict)
	return err
}
