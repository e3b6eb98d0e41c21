package sessiondata

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Merging is compared with its definition: what becomes of each (package, key)
// is looked up in the table on top of merge.go, one key after the other, on
// plain maps.

// plainSession is a session as plain maps: values by package and key, and its
// timeout as an int64, 0 where it has none of its own.
type plainSession struct {
	vals    map[PkgKey]string
	timeout int64
}

func (s plainSession) clone() plainSession {
	return plainSession{maps.Clone(s.vals), s.timeout}
}

// names returns the sorted names of the packages, and of the keys of each.
func (s plainSession) names() (pkgs []string, keys map[string][]string) {
	keys = map[string][]string{}
	for at := range s.vals {
		keys[at.Pkg] = append(keys[at.Pkg], at.Key)
	}
	for _, k := range keys {
		slices.Sort(k)
	}
	return slices.Sorted(maps.Keys(keys)), keys
}

func (s plainSession) image(t require.TestingT) *image {
	pkgs := map[string]map[string][]byte{}
	for at, v := range s.vals {
		if pkgs[at.Pkg] == nil {
			pkgs[at.Pkg] = map[string][]byte{}
		}
		pkgs[at.Pkg][at.Key] = []byte(v)
	}
	m, _ := encodeImage(t, nil, head{codec: codecJSON, timeout: s.timeout}, pkgs)
	return m
}

// apply changes a plain session by a delta.
func (s plainSession) apply(d *delta) plainSession {
	out := s.clone()
	for _, p := range d.pkgs {
		for _, k := range p.keys {
			if k.body == nil {
				delete(out.vals, PkgKey{p.name, k.key})
			} else {
				out.vals[PkgKey{p.name, k.key}] = string(k.body)
			}
		}
	}
	if d.timeout != nil {
		out.timeout = d.timeout.value
	}
	return out
}

// plainDelta is what mine changes of base, as a commit has it.
func plainDelta(base, mine plainSession, read map[PkgKey]bool, timeoutRead bool) *delta {
	changed := map[PkgKey]bool{}
	for _, vals := range []map[PkgKey]string{base.vals, mine.vals} {
		for at := range vals {
			b, inB := base.vals[at]
			m, inM := mine.vals[at]
			if inB != inM || b != m {
				changed[at] = true
			}
		}
	}
	d := new(delta)
	for _, at := range slices.SortedFunc(maps.Keys(changed), func(a, b PkgKey) int {
		if a.less(b) {
			return -1
		}
		return 1
	}) {
		if len(d.pkgs) == 0 || d.pkgs[len(d.pkgs)-1].name != at.Pkg {
			d.pkgs = append(d.pkgs, pkgDelta{name: at.Pkg})
		}
		k := keyDelta{key: at.Key, read: read[at]}
		if v, ok := mine.vals[at]; ok {
			k.body = []byte(v)
		}
		p := &d.pkgs[len(d.pkgs)-1]
		p.keys = append(p.keys, k)
	}
	if mine.timeout != base.timeout {
		d.timeout = &timeoutDelta{value: mine.timeout, read: timeoutRead}
	}
	return d
}

// Values that end: at 5, which is over where now is 10, or at 50, which is not.
const mergedAt = 10

func ending(v string, at int64) string { return string(withEnd([]byte(v), at)) }

var (
	lasting    = []string{"1", "2", "3", ending("1", 50), ending("2", 50)}
	someEnding = append(slices.Clip(lasting), ending("1", 5), ending("2", 5))
)

// live is s without what has ended.
func (s plainSession) live(now int64) plainSession {
	out := s.clone()
	maps.DeleteFunc(out.vals, func(_ PkgKey, v string) bool { return endedAt([]byte(v), now) })
	return out
}

var drawnSession = rapid.Custom(func(t *rapid.T) plainSession {
	s := plainSession{vals: map[PkgKey]string{}, timeout: rapid.SampledFrom([]int64{0, 0, -1, 60, 70}).Draw(t, "timeout")}
	for _, at := range rapid.SliceOfN(drawnPlace, 0, 7).Draw(t, "places") {
		s.vals[at] = rapid.SampledFrom(someEnding).Draw(t, "value")
	}
	return s
})

var drawnPlace = rapid.Custom(func(t *rapid.T) PkgKey {
	return PkgKey{rapid.SampledFrom([]string{"", "p", "q"}).Draw(t, "pkg"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")}
})

// altered is s with some values changed to one of vals, added and dropped.
func altered(t *rapid.T, s plainSession, label string, vals []string) plainSession {
	out := s.clone()
	for _, at := range rapid.SliceOfN(drawnPlace, 0, 5).Draw(t, label) {
		switch v := rapid.SampledFrom(append(slices.Clip(vals), "")).Draw(t, label+" value"); v {
		case "":
			delete(out.vals, at)
		default:
			out.vals[at] = v
		}
	}
	out.timeout = rapid.SampledFrom([]int64{s.timeout, s.timeout, 0, -1, 60, 70}).Draw(t, label+" timeout")
	return out
}

// want is what the definition says at a moment: the merged session, or the keys
// in conflict. What has ended by then is absent in base and theirs; that mine has
// deleted it, while it was there, is a change all the same.
func want(base, theirs, mine plainSession, now int64, policy ConflictPolicy, reads *readSet, resolve func(at PkgKey, b, t, m string) (string, bool)) (plainSession, []PkgKey) {
	var refused []PkgKey
	loaded := base
	base, theirs = base.live(now), theirs.live(now)
	if policy == Serializable {
		if refused = wantReads(base, theirs, reads); len(refused) > 0 {
			return plainSession{}, refused
		}
	}
	settle := func(at PkgKey, changed bool, b, t, m string, read bool) string { // "": absent
		switch {
		case !changed:
			return t
		case b == t, policy == Overwrite:
			return m
		case t == m && !read:
			return t
		}
		if resolve != nil {
			if kept, ok := resolve(at, b, t, m); ok {
				return kept
			}
		}
		refused = append(refused, at)
		return ""
	}
	out := plainSession{vals: map[PkgKey]string{}}
	all := maps.Clone(base.vals)
	maps.Copy(all, theirs.vals)
	maps.Copy(all, mine.vals)
	for at := range all {
		changed := loaded.vals[at] != mine.vals[at]
		if v := settle(at, changed, base.vals[at], theirs.vals[at], mine.vals[at], hasRead(reads, at)); v != "" {
			out.vals[at] = v
		}
	}
	text := func(n int64) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	if v := settle(PkgKey{}, base.timeout != mine.timeout, text(base.timeout), text(theirs.timeout), text(mine.timeout), reads.timeout); v != "" {
		_, _ = fmt.Sscan(v, &out.timeout)
	}
	return out, sortKeys(refused)
}

func hasRead(reads *readSet, at PkgKey) bool {
	for _, p := range reads.pkgs {
		if p.name == at.Pkg && slices.Contains(p.keys, at.Key) {
			return true
		}
	}
	return false
}

func wantReads(base, theirs plainSession, reads *readSet) (changed []PkgKey) {
	basePkgs, baseKeys := base.names()
	theirPkgs, theirKeys := theirs.names()
	if reads.listed && !slices.Equal(basePkgs, theirPkgs) || reads.timeout && base.timeout != theirs.timeout {
		changed = append(changed, PkgKey{})
	}
	for _, p := range reads.pkgs {
		if p.listed && !slices.Equal(baseKeys[p.name], theirKeys[p.name]) {
			changed = append(changed, PkgKey{Pkg: p.name})
		}
		for _, k := range p.keys {
			if at := (PkgKey{p.name, k}); base.vals[at] != theirs.vals[at] {
				changed = append(changed, at)
			}
		}
	}
	return sortKeys(changed)
}

func drawnReads(t *rapid.T) *readSet {
	r := &readSet{listed: rapid.Bool().Draw(t, "listed"), timeout: rapid.Bool().Draw(t, "timeout read")}
	for _, pkg := range []string{"", "p", "q"} {
		p := pkgReads{name: pkg, listed: rapid.IntRange(0, 3).Draw(t, "pkg listed") == 0}
		for _, key := range []string{"", "a", "b"} {
			if rapid.IntRange(0, 2).Draw(t, "read") == 0 {
				p.keys = append(p.keys, key)
			}
		}
		if p.listed || len(p.keys) > 0 {
			r.pkgs = append(r.pkgs, p)
		}
	}
	return r
}

func TestModel_Rule16_MergeIsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		isNew := rapid.IntRange(0, 3).Draw(t, "new") == 0
		base := plainSession{vals: map[PkgKey]string{}}
		if !isNew {
			base = drawnSession.Draw(t, "base")
		}
		// What mine sets has an end that lies ahead; what it leaves may have ended.
		theirs, mine := altered(t, base, "theirs", someEnding), altered(t, base, "mine", lasting)
		now := rapid.SampledFrom([]int64{0, mergedAt}).Draw(t, "now")
		reads := drawnReads(t)
		policy := ConflictPolicy(rapid.IntRange(0, 2).Draw(t, "policy"))
		m := merger{theirs: theirs.image(t), codec: JSON(), policy: policy, now: now}
		if !isNew {
			m.base = base.image(t)
		}
		var resolve func(at PkgKey, b, t, m string) (string, bool)
		if rapid.Bool().Draw(t, "with a Resolver") {
			resolve = func(at PkgKey, b, t, m string) (string, bool) { return resolved(at, b, t, m) }
			m.resolve = func(c *Collision) error {
				text := func(v Value) string { return string(v.body) }
				kept, ok := resolved(c.PkgKey, text(c.Base), text(c.Theirs), text(c.Mine))
				switch {
				case !ok:
					return ErrConflict
				case kept == "":
					return c.Keep(Value{})
				}
				return c.Keep(Value{codec: JSON(), body: []byte(kept)})
			}
		}
		read := map[PkgKey]bool{}
		for _, p := range reads.pkgs {
			for _, k := range p.keys {
				read[PkgKey{p.name, k}] = true
			}
		}
		expected, refused := want(base, theirs, mine, now, policy, reads, resolve)
		got, err := m.merge(plainDelta(base, mine, read, reads.timeout), reads)
		if len(refused) > 0 {
			var conflict *ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, refused, conflict.Keys)
			return
		}
		require.NoError(t, err)
		require.Equal(t, expected, theirs.apply(got).live(now))
		for _, p := range got.pkgs {
			require.NotEmpty(t, p.keys)
			for _, k := range p.keys {
				theirBody, there := theirs.live(now).vals[PkgKey{p.name, k.key}]
				require.False(t, there == (k.body != nil) && theirBody == string(k.body), "what is there already is not written")
			}
		}
		if policy == Overwrite {
			require.Nil(t, refused)
		}
	})
}

// resolved is some rule for collisions, which refuses some and deletes others.
func resolved(at PkgKey, b, t, m string) (string, bool) {
	if at == (PkgKey{}) && !strings.Contains("-1 60 70", t) {
		return "", false
	}
	switch (len(at.Pkg) + 2*len(at.Key) + len(b) + 3*len(m)) % 4 {
	case 0:
		return "", false
	case 1:
		return "", true
	case 2:
		return t, true
	}
	return m, true
}

func TestRule16_MergeWithWhatCannotBeReadIsErrCorrupt(t *testing.T) {
	good := plainSession{vals: map[PkgKey]string{{"p", "a"}: "1", {"p", "b"}: "2"}}
	broken, _ := encodeImage(t, nil, head{codec: codecJSON}, nil)
	broken.pkgs, _ = tableOf(t, map[string][]byte{"p": []byte("broken")})
	mine := &delta{pkgs: []pkgDelta{{name: "p", keys: []keyDelta{{key: "a", body: []byte("3")}}}}}
	reads := &readSet{pkgs: []pkgReads{{name: "p", keys: []string{"a"}}}}
	for _, m := range []merger{{base: good.image(t), theirs: broken}, {base: broken, theirs: good.image(t)}} {
		for _, m.policy = range []ConflictPolicy{Merge, Serializable, Overwrite} {
			m.codec = JSON()
			_, err := m.merge(mine, reads)
			require.ErrorIs(t, err, ErrCorrupt)
		}
	}
}

func TestRule16_AResolversOwnErrorEndsTheMerge(t *testing.T) {
	own, calls := errors.New("own"), 0
	base := plainSession{vals: map[PkgKey]string{}}
	theirs := plainSession{vals: map[PkgKey]string{{"p", "a"}: "1", {"p", "b"}: "1"}}
	mine := plainSession{vals: map[PkgKey]string{{"p", "a"}: "2", {"p", "b"}: "2"}}
	m := merger{theirs: theirs.image(t), codec: JSON(), resolve: func(*Collision) error { calls++; return own }}
	_, err := m.merge(plainDelta(base, mine, nil, false), &readSet{})
	require.Equal(t, own, err)
	require.Equal(t, 1, calls)
}
