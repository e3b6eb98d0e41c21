package main

import (
	"context"
	"fmt"
	"strings"
)

// shape is the form of a session: so many packages with so many values of so
// many bytes.
type shape struct {
	name          string
	pkgs, values  int
	bytesPerValue int
}

// The shapes that the bars are set for.
var (
	shapeS = shape{"S", 1, 5, 75}
	shapeM = shape{"M", 10, 10, 75}
	shapeL = shape{"L", 100, 20, 75}
	shapes = []shape{shapeS, shapeM, shapeL}
)

// sweepShape is n packages of one value of 100 bytes.
func sweepShape(n int) shape { return shape{fmt.Sprint(n), n, 1, 100} }

// pair is one key with its value.
type pair struct{ key, value string }

// pkg is one package with its values, in the order of their keys.
type pkg struct {
	name   string
	values []pair
}

// edit is one value to be set. flat is the key for stores that have no packages.
type edit struct{ pkg, key, flat, value string }

// content is what a session of one shape holds. All peers store the same.
type content struct {
	shape shape
	pkgs  []pkg
	// flat is the whole for stores that have no packages.
	flat []pair
	// one and ten change one value and ten in three packages (or as many as there
	// are); each comes in two variants, so that taking turns always changes
	// something.
	one, ten [2][]edit
	opaque   []byte // what this library stores for it: the bare client's value
}

func newContent(s shape) (*content, error) {
	c := &content{shape: s}
	for i := range s.pkgs {
		p := pkg{name: fmt.Sprintf("package-%04d", i)}
		for j := range s.values {
			v := pair{fmt.Sprintf("key-%02d", j), text(s, i, j, 0)}
			p.values = append(p.values, v)
			c.flat = append(c.flat, pair{p.name + "/" + v.key, v.value})
		}
		c.pkgs = append(c.pkgs, p)
	}
	for variant := range 2 {
		at := func(i, j int) edit {
			i, j = i%s.pkgs, j%s.values
			p := c.pkgs[i]
			key := p.values[j].key
			return edit{p.name, key, p.name + "/" + key, text(s, i, j, 1+variant)}
		}
		c.one[variant] = []edit{at(s.pkgs/2, s.values/2)}
		seen := map[string]bool{}
		for k := range 10 {
			// Of three packages, apart from each other.
			e := at(s.pkgs/2+k%3*max(1, s.pkgs/4), k/3)
			if !seen[e.flat] {
				seen[e.flat] = true
				c.ten[variant] = append(c.ten[variant], e)
			}
		}
	}
	var err error
	c.opaque, err = storedBytes(context.Background(), c)
	return c, err
}

// text is a value of the shape's size that differs by place and variant.
func text(s shape, i, j, variant int) string {
	t := fmt.Sprintf("value %d of %d/%d ", variant, i, j)
	return (t + strings.Repeat("lorem ipsum dolor sit amet ", 1+s.bytesPerValue/27))[:s.bytesPerValue]
}
