package main

import (
	"context"
	"fmt"
	"strings"
)

// shape is the form of a session: so many packages with so many values of so
// many bytes: strings, or records, which encode to some as many.
type shape struct {
	name          string
	pkgs, values  int
	bytesPerValue int
	records       bool
}

var (
	shapeS = shape{"S", 1, 5, 75, false}
	shapeM = shape{"M", 10, 10, 75, false}
	shapeL = shape{"L", 100, 20, 75, false}
	shapes = []shape{shapeS, shapeM, shapeL}

	recordShapes = []shape{{"S-records", 1, 5, 75, true}, {"M-records", 10, 10, 75, true}, {"L-records", 100, 20, 75, true}}
)

// sweepShape is n packages of one value of 100 bytes.
func sweepShape(n int) shape { return shape{fmt.Sprint(n), n, 1, 100, false} }

// record is a value as applications keep it: an article in a basket, say.
type record struct {
	Name  string
	Count int
	Tags  []string
}

// nameOfRecord is the length of a record's name.
const nameOfRecord = 40

// pair is one key with its value.
type pair struct {
	key   string
	value any
}

// pkg is one package with its values, in the order of their keys.
type pkg struct {
	name   string
	values []pair
}

// edit is one value to be set. flat is the key for stores that have no packages.
type edit struct {
	pkg, key, flat string
	value          any
}

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
			v := pair{fmt.Sprintf("key-%02d", j), newValue(s, i, j, 0)}
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
			return edit{p.name, key, p.name + "/" + key, newValue(s, i, j, 1+variant)}
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

func newValue(s shape, i, j, variant int) any {
	if s.records {
		return record{text(s, i, j, variant)[:nameOfRecord], variant, []string{"one", "two"}}
	}
	return text(s, i, j, variant)
}

// holds reports whether v, as a peer has it back, can be a value of c.
func (c *content) holds(v any) bool {
	switch v := v.(type) {
	case string:
		return !c.shape.records && len(v) == c.shape.bytesPerValue
	case record:
		return c.shape.records && len(v.Name) == nameOfRecord && len(v.Tags) == 2
	case map[string]any: // a record decoded without its type
		name, ok := v["Name"].(string)
		return ok && c.shape.records && len(name) == nameOfRecord
	}
	return false
}

// text is a value of the shape's size that differs by place and variant.
func text(s shape, i, j, variant int) string {
	t := fmt.Sprintf("value %d of %d/%d ", variant, i, j)
	return (t + strings.Repeat("lorem ipsum dolor sit amet ", 1+s.bytesPerValue/27))[:s.bytesPerValue]
}
