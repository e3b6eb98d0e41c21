package main

import "fmt"

// product is something that the shop sells.
type product struct {
	ID, Name, Text string
	Cents          int
}

var catalogue = []product{
	{"mug", "Stoneware mug", "Holds 35 cl, and warmth", 1850},
	{"teapot", "Teapot", "Cast iron, for two", 5400},
	{"lamp", "Desk lamp", "Dims to a candle", 7900},
	{"notebook", "Notebook", "Dotted, lies flat", 1400},
	{"backpack", "Backpack", "22 litres, waxed canvas", 9800},
	{"headphones", "Headphones", "Quiet, for 30 hours", 14900},
	{"plant", "Monstera", "In its pot, not easily offended", 3200},
	{"clock", "Wall clock", "Silent movement", 4500},
}

func findProduct(id string) (product, bool) {
	for _, p := range catalogue {
		if p.ID == id {
			return p, true
		}
	}
	return product{}, false
}

// euros formats a price.
func euros(cents int) string { return fmt.Sprintf("€ %d.%02d", cents/100, cents%100) }

// line is a product in a cart.
type line struct {
	product
	Quantity int
}

// Sum is what the line costs, in cents.
func (l line) Sum() int { return l.Cents * l.Quantity }

// cart is what a visitor wants.
type cart struct {
	Lines []line
	Count int
	Cents int
}

func (c *cart) add(p product, quantity int) {
	c.Lines = append(c.Lines, line{p, quantity})
	c.Count += quantity
	c.Cents += p.Cents * quantity
}
