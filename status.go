package sessiondata

import "fmt"

// Status says what a commit will do with a session.
type Status int

// What a commit will do.
const (
	Unmodified Status = iota // nothing, or record the access
	Modified                 // store it
	Destroyed                // remove it
)

// String returns the name of the status.
func (s Status) String() string {
	switch s {
	case Unmodified:
		return "unmodified"
	case Modified:
		return "modified"
	case Destroyed:
		return "destroyed"
	}
	return fmt.Sprintf("Status(%d)", int(s))
}

// Status says what the commit will do with this session as it is now.
func (s *Session) Status() Status {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.u.tx.err() != nil {
		return Unmodified
	}
	return s.status()
}

func (s *Session) status() Status {
	switch {
	case s.destroyed:
		return Destroyed
	case s.renewed(), s.timeout != s.storedTimeout(), s.member != s.stored:
		return Modified
	}
	for _, p := range s.pkgs {
		if p.dirty > 0 {
			return Modified
		}
	}
	return Unmodified
}

// renewed reports whether a stored session gets another id.
func (s *Session) renewed() bool { return s.base != nil && s.newID != "" }

func (s *Session) storedTimeout() int64 {
	if s.base == nil {
		return 0
	}
	return s.base.timeout
}

// changed reports whether the session is to be written, if not for the access.
func (s *Session) changed() bool { return s.status() == Modified || s.destroyed && s.base != nil }
