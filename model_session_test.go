package sessiondata_test

import (
	"maps"
	"slices"
	"time"
)

// modelValue is a value and when it ends; 0: with its session.
type modelValue struct {
	n   int
	end int64
}

// modelSession is a session as copies of maps. A savepoint copies it whole.
type modelSession struct {
	vals      map[string]map[string]modelValue
	timeout   time.Duration // as set; 0: the container's
	destroyed bool
	renewed   string
}

func newModelSession() modelSession { return modelSession{vals: map[string]map[string]modelValue{}} }

func (m modelSession) clone() modelSession {
	vals := map[string]map[string]modelValue{}
	for name, p := range m.vals {
		vals[name] = maps.Clone(p)
	}
	m.vals = vals
	return m
}

// pkg returns the map of a package, to be changed.
func (m modelSession) pkg(name string) map[string]modelValue {
	if m.vals[name] == nil {
		m.vals[name] = map[string]modelValue{}
	}
	return m.vals[name]
}

// packages returns the names of those that hold something, sorted.
func (m modelSession) packages() []string {
	names := []string{}
	for name, p := range m.vals {
		if len(p) > 0 && !m.destroyed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// live is m without the values that have ended.
func (m modelSession) live(now int64) modelSession {
	m = m.clone()
	for _, p := range m.vals {
		maps.DeleteFunc(p, func(_ string, v modelValue) bool { return v.end != 0 && v.end <= now })
	}
	return m
}

// same reports whether two sessions say the same.
func (m modelSession) same(o modelSession) bool {
	return m.timeout == o.timeout && m.destroyed == o.destroyed && m.renewed == o.renewed && slices.Equal(m.packages(), o.packages()) &&
		!slices.ContainsFunc(m.packages(), func(name string) bool { return !maps.Equal(m.vals[name], o.vals[name]) })
}

// storedModel is what the store holds under one id.
type storedModel struct {
	id    string
	there bool
	birth int // another one each time that it is made
	is    modelSession
}

// openModel is a session within the transaction.
type openModel struct {
	isNew bool
	birth int
	base  modelSession // as it was loaded
	now   modelSession
}

// status tells whether a commit has something to write.
func (o *openModel) changes() bool {
	switch {
	case o.now.destroyed:
		return !o.isNew
	case o.isNew:
		return o.now.timeout != 0 || len(o.now.packages()) > 0
	}
	return !o.now.same(o.base)
}
