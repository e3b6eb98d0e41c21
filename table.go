package sessiondata

import "encoding/binary"

// A table is a list of pairs (name, body), sorted by name, as bytes. It is the
// one building block of the wire format: a session is a table of packages, and
// the body of a package is a table of values. A lookup is a binary search in
// the bytes themselves, so nothing is built, and nothing else is looked at,
// when one value of a large session is read; and a table with a few changes is
// written by copying the runs between them.
//
//	count  4 bytes, little endian, as all numbers
//	width  1 byte: 1, 2 or 4, the size of the ends that follow
//	ends   count pairs (end of the name, end of the body), each of width bytes,
//	       counted from the start of the names and of the bodies
//	names  one after another, ascending, each once
//	bodies one after another, in the same order
type table struct {
	ends, names, bodies []byte
	n, width            int
	marked              bool // found by check: a body begins with lifeMark
}

const tableHead = 5

// parseTable reads the table at the start of b. It allocates nothing and looks
// at the first and last bytes only: a table that did not come from our own
// encoder must be checked before it is used.
func parseTable(b []byte) (t table, rest []byte, ok bool) {
	if len(b) < tableHead {
		return t, nil, false
	}
	n, width := uint64(binary.LittleEndian.Uint32(b)), int(b[4])
	if width != 1 && width != 2 && width != 4 {
		return t, nil, false
	}
	b = b[tableHead:]
	ends := n * 2 * uint64(width)
	if ends > uint64(len(b)) {
		return t, nil, false
	}
	t = table{ends: b[:ends], n: int(n), width: width}
	b = b[ends:]
	names, bodies := t.end(t.n - 1)
	if uint64(names)+uint64(bodies) > uint64(len(b)) {
		return table{}, nil, false
	}
	t.names, b = b[:names:names], b[names:]
	t.bodies, b = b[:bodies:bodies], b[bodies:]
	return t, b, true
}

// check reports whether the ends ascend within bounds and the names ascend
// strictly. Every method below relies on it.
func (t *table) check() bool {
	var name, body int
	var before []byte
	for i := range t.n {
		nameEnd, bodyEnd := t.end(i)
		if nameEnd < name || bodyEnd < body || nameEnd > len(t.names) || bodyEnd > len(t.bodies) {
			return false
		}
		this := t.names[name:nameEnd]
		if i > 0 && string(before) >= string(this) {
			return false
		}
		if body < bodyEnd && t.bodies[body] == lifeMark {
			t.marked = true
		}
		before, name, body = this, nameEnd, bodyEnd
	}
	return true
}

// end returns where name i and body i end; end(-1) is 0, 0.
func (t *table) end(i int) (name, body int) {
	if i < 0 {
		return 0, 0
	}
	return endAt(t.ends[2*i*t.width:], t.width)
}

// endAt reads the pair of ends at the start of e.
func endAt(e []byte, width int) (name, body int) {
	switch width {
	case 1:
		return int(e[0]), int(e[1])
	case 2:
		return int(binary.LittleEndian.Uint16(e)), int(binary.LittleEndian.Uint16(e[2:]))
	default:
		return int(binary.LittleEndian.Uint32(e)), int(binary.LittleEndian.Uint32(e[4:]))
	}
}

func (t *table) name(i int) []byte {
	from, _ := t.end(i - 1)
	to, _ := t.end(i)
	return t.names[from:to]
}

func (t *table) body(i int) []byte {
	_, from := t.end(i - 1)
	_, to := t.end(i)
	return t.bodies[from:to:to]
}

// find returns the position of name, or where it would stand.
func (t *table) find(name string) (i int, ok bool) {
	lo, hi := 0, t.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if string(t.name(mid)) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < t.n && string(t.name(lo)) == name
}

// get returns the body under name; nil and false where there is none.
func (t *table) get(name string) ([]byte, bool) {
	i, ok := t.find(name)
	if !ok {
		return nil, false
	}
	return t.body(i), true
}

// edit is one change to a table: body under name, or name dropped.
type edit struct {
	name  string
	body  []byte
	table *tablePlan // not nil: in place of body, built where it is to stand
	drop  bool
}

func (e *edit) size() int {
	if e.table != nil {
		return e.table.size()
	}
	return len(e.body)
}

// tablePlan says how large a table will be with its edits.
type tablePlan struct {
	base  table
	edits []edit // ascending by name, each once
	n     int
	names int
	body  int
}

// plan measures t with edits applied. Dropping an absent name is no fault.
func (t *table) plan(edits []edit) tablePlan {
	p := tablePlan{base: *t, edits: edits, n: t.n, names: len(t.names), body: len(t.bodies)}
	for k := range edits {
		e := &edits[k]
		if i, found := t.find(e.name); found {
			p.n--
			p.names -= len(e.name)
			p.body -= len(t.body(i))
		}
		if !e.drop {
			p.n++
			p.names += len(e.name)
			p.body += e.size()
		}
	}
	return p
}

func (p *tablePlan) width() int {
	switch most := max(p.names, p.body); {
	case most < 1<<8:
		return 1
	case most < 1<<16:
		return 2
	default:
		return 4
	}
}

func (p *tablePlan) size() int { return tableHead + p.n*2*p.width() + p.names + p.body }

// appendTo appends the table to dst, which must have room for p.size() bytes.
func (p *tablePlan) appendTo(dst []byte) []byte {
	start, width := len(dst), p.width()
	dst = dst[:start+p.size()]
	out := dst[start:]
	binary.LittleEndian.PutUint32(out, uint32(p.n))
	out[4] = byte(width)
	w := tableWriter{width: width, ends: out[tableHead:]}
	w.names = w.ends[p.n*2*width:]
	w.bodies = w.names[p.names:]
	at := 0
	for k := range p.edits {
		e := &p.edits[k]
		i, found := p.base.find(e.name)
		w.run(&p.base, at, i)
		at = i
		if found {
			at++
		}
		if !e.drop {
			w.put(e)
		}
	}
	w.run(&p.base, at, p.base.n)
	return dst
}

// edited returns t with edits applied.
func (t *table) edited(edits []edit) table {
	p := t.plan(edits)
	out, _, _ := parseTable(p.appendTo(make([]byte, 0, p.size())))
	return out
}

// all returns the edits that make t out of an empty table.
func (t *table) all() []edit {
	edits := make([]edit, t.n)
	for i := range edits {
		edits[i] = edit{name: string(t.name(i)), body: t.body(i)}
	}
	return edits
}

// tableWriter fills the three parts of a table side by side.
type tableWriter struct {
	width               int
	ends, names, bodies []byte
	i, name, body       int
}

func (w *tableWriter) end(name, body int) {
	switch w.width {
	case 1:
		w.ends[2*w.i], w.ends[2*w.i+1] = byte(name), byte(body)
	case 2:
		e := w.ends[4*w.i : 4*w.i+4]
		binary.LittleEndian.PutUint16(e, uint16(name))
		binary.LittleEndian.PutUint16(e[2:], uint16(body))
	default:
		e := w.ends[8*w.i : 8*w.i+8]
		binary.LittleEndian.PutUint32(e, uint32(name))
		binary.LittleEndian.PutUint32(e[4:], uint32(body))
	}
	w.i++
}

func (w *tableWriter) put(e *edit) {
	w.name += copy(w.names[w.name:], e.name)
	if e.table != nil {
		w.body = len(e.table.appendTo(w.bodies[:w.body]))
	} else {
		w.body += copy(w.bodies[w.body:], e.body)
	}
	w.end(w.name, w.body)
}

// run copies the pairs from to to of t.
func (w *tableWriter) run(t *table, from, to int) {
	if from >= to {
		return
	}
	name0, body0 := t.end(from - 1)
	dname, dbody := w.name-name0, w.body-body0
	if dname == 0 && dbody == 0 && w.width == t.width {
		copy(w.ends[2*w.width*w.i:], t.ends[2*w.width*from:2*w.width*to])
		w.i += to - from
	} else {
		for i := from; i < to; i++ {
			name, body := t.end(i)
			w.end(name+dname, body+dbody)
		}
	}
	name1, body1 := t.end(to - 1)
	w.name += copy(w.names[w.name:], t.names[name0:name1])
	w.body += copy(w.bodies[w.body:], t.bodies[body0:body1])
}
