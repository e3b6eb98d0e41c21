package cluster

import (
	"context"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Pair is two containers of one policy over one store.
type Pair = [2]*sd.Container

// Fleet is such pairs over a cluster.
type Fleet struct {
	Apps  []Pair // as each app server has them
	Clean Pair   // without a proxy between
	only  []Pair // over one server alone
}

// Fleet makes containers over the stores of every app server, and over those
// without a proxy between.
func (c *Cluster) Fleet(over func(sd.Store) (Pair, error)) (*Fleet, error) {
	f := &Fleet{Apps: make([]Pair, len(c.apps)), only: make([]Pair, len(c.only))}
	var err error
	if f.Clean, err = over(c.direct); err != nil {
		return nil, err
	}
	for i, s := range c.apps {
		if f.Apps[i], err = over(s); err != nil {
			return nil, err
		}
	}
	for i, s := range c.only {
		if f.only[i], err = over(s); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Where returns the server that holds a session of one container of a pair.
func (f *Fleet) Where(ctx context.Context, container int, id string) (server int, ok bool) {
	for i, cs := range f.only {
		found := false
		err := cs[container].View(ctx, id, func(s *sd.Session) error {
			found = !s.IsNew()
			return nil
		})
		if err == nil && found {
			return i, true
		}
	}
	return 0, false
}
