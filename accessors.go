package sessiondata

import (
	"errors"
	"fmt"
)

// The generic accessors of a package: reading and changing a value of a known
// type in one step.

// Get returns the value of key: ErrKeyNotFound where there is none.
func Get[T any](p *PkgData, key string) (T, error) {
	var v T
	err := p.Get(key, &v)
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// GetOr returns the value of key, or otherwise where there is none.
func GetOr[T any](p *PkgData, key string, otherwise T) (T, error) {
	v, err := Get[T](p, key)
	if errors.Is(err, ErrKeyNotFound) {
		return otherwise, nil
	}
	return v, err
}

// SetDefault returns the value of key; where there is none it stores v and
// returns it. It is atomic among the goroutines of the transaction.
func SetDefault[T any](p *PkgData, key string, v T) (T, error) {
	var out T
	err := p.update(key, func(was Value) (body []byte, keep bool, err error) {
		if !was.IsZero() {
			return nil, false, was.Decode(&out)
		}
		out = v
		body, err = encodeValue(p.s.codec, PkgKey{p.name, key}, v)
		return body, true, err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}

// Pop returns the value of key and deletes it: ErrKeyNotFound where there is
// none. A value that cannot be decoded stays. It is atomic among the goroutines
// of the transaction; two transactions that pop one value conflict, so each
// value is delivered once.
func Pop[T any](p *PkgData, key string) (T, error) {
	var out T
	err := p.update(key, func(was Value) ([]byte, bool, error) {
		var v T
		err := was.Decode(&v)
		out = v
		return nil, true, err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}

// Modify replaces the value of key by what change makes of it, beginning with
// the zero T where there is none. An error of change changes nothing, and is
// returned. It is atomic among the goroutines of the transaction; no lock is
// held while change runs, so it may use the session, and it runs again if
// another goroutine changed the value meanwhile.
func Modify[T any](p *PkgData, key string, change func(*T) error) error {
	if change == nil {
		return fmt.Errorf("%w: a nil function", ErrInvalid)
	}
	return p.update(key, func(was Value) ([]byte, bool, error) {
		var v T
		if !was.IsZero() {
			if err := was.Decode(&v); err != nil {
				return nil, false, err
			}
		}
		if err := change(&v); err != nil {
			return nil, false, err
		}
		body, err := encodeValue(p.s.codec, PkgKey{p.name, key}, v)
		if _, end := takeEnd(was.body); end != 0 && err == nil {
			body = withEnd(body, end)
		}
		return body, true, err
	})
}

// update reads key, asks next for what is to stand there (nil: nothing) and
// whether it is to be stored at all, and stores it if the value has not changed
// meanwhile; else again.
func (p *PkgData) update(key string, next func(was Value) (body []byte, keep bool, err error)) error {
	mu := &p.s.u.tx.mu
	for {
		mu.Lock()
		err := p.changeable(key)
		var was Value
		if err == nil {
			was = p.look(key)
		}
		mu.Unlock()
		if err != nil {
			return err
		}
		body, keep, err := next(was)
		if err != nil || !keep {
			return err
		}
		mu.Lock()
		err = p.changeable(key)
		again := err == nil && !p.peek(key).Equal(was)
		switch {
		case err != nil || again:
		case body == nil:
			p.remove(key)
		default:
			p.put(key, body)
		}
		mu.Unlock()
		if !again {
			return err
		}
	}
}
