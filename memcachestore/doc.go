// Package memcachestore keeps sessions in one or more memcached servers,
// through gomemcache.
//
// A session store meets more of memcached than a cache does: a lost update, a
// hung request or another user's data is not a cache miss. What this package
// adds to the client:
//
//   - Every pooled connection has a gomemcache Client of its own, is looked at
//     without blocking before each request, and reads at its start which boot of
//     which server it talks to (stats) and what that server accepts (stats
//     settings). A server that was restarted costs no request an error.
//   - Every write is conditional: add, cas, and cas with an expiry in the past
//     as compare-and-delete. A [sessiondata.Version] names the boot of the server
//     as well as the CAS id, and a cas is only ever sent over a connection to
//     that boot: CAS ids start again at 1 when memcached does.
//   - One absolute deadline bounds a request, however its reply trickles in. A
//     call is answered within 2*Timeout + DialTimeout: waiting for a connection,
//     making one, the request.
//   - A reply that is longer than it should be, or that is about another key,
//     means that requests and replies have come apart: the answer is discarded
//     with all connections to that server.
//   - A server that fails is left alone, callers are answered at once, and it is
//     tried again in the background. It does not slow the sessions of the others.
//
// Sessions are distributed over the servers by rendezvous hashing of their
// stable names: one more server takes about 1/(n+1) of the sessions and moves no
// other, and the order of the list means nothing.
//
// A read costs one round trip, a write one. A new connection costs its dial and
// one round trip, two with authentication.
//
// # Windows
//
// memcached is a cache, and no protocol over it closes these:
//
//   - A server that is restarted, or evicts for want of memory, loses sessions.
//     Whoever works with one of them gets [sessiondata.ErrGone]; the next request
//     finds a new session.
//   - A commit over sessions on several servers is decided by one write to the
//     first of them. If that server is restarted before the others have been
//     told, which takes one more round trip, the others keep what they had
//     before: part of a commit that was answered nil is lost with the server.
//   - While that server is down, the other sessions of a commit that was under
//     way cannot be read: ErrUnavailable. They are never shown half changed.
//   - An add whose reply was lost may arrive after its session was destroyed, if
//     it is on its way for longer than the destroying takes: the session is there
//     again. A delayed compare-and-swap does nothing.
package memcachestore
