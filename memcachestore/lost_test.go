package memcachestore

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// Every way to lose the reply to a write, or the write. applied says what the
// server did; certain, that the store must know it.
var losses = []struct {
	name    string
	fault   mct.Fault
	applied bool
}{
	{"FIN before the reply", mct.Fault{Do: mct.CutReply}, true},
	{"RST before the reply", mct.Fault{Do: mct.ResetReply}, true},
	{"half a line", mct.Fault{Do: mct.CutReply, Bytes: 4}, true},
	{"half a line, RST", mct.Fault{Do: mct.ResetReply, Bytes: 5}, true},
	{"all but the line feed", mct.Fault{Do: mct.CutReply, Bytes: 7}, true},
	{"timeout", mct.Fault{Do: mct.DropReply}, true},
	{"a late reply", mct.Fault{Do: mct.DelayReply, Delay: 300 * time.Millisecond}, true},
	{"a trickle", mct.Fault{Do: mct.TrickleReply, Delay: 40 * time.Millisecond}, true},
	{"the request is lost", mct.Fault{Do: mct.DropRequest}, false},
	{"the request is lost, FIN", mct.Fault{Do: mct.CutRequest}, false},
	{"the request is lost, RST", mct.Fault{Do: mct.ResetRequest}, false},
}

func TestALostReplyToAWriteIsAnUnknownOutcomeAndTheWriteIsNotRepeated(t *testing.T) {
	for _, verb := range []string{"add", "cas", "delete"} {
		for _, loss := range losses {
			t.Run(verb+": "+loss.name, func(t *testing.T) {
				t.Parallel()
				srv := mct.Start(t, "-t", "1")
				p := mct.StartProxy(t, srv.Addr())
				s := open(t, []string{srv.Addr() + "=" + p.Addr()}, quick)
				sure := open(t, []string{srv.Addr()})
				var v sd.Version
				if verb != "add" {
					v = put(t, s, "k", "old")
				}
				before := p.Requests("add", "cas")
				loss.fault.Verb = map[string]string{"add": "add", "cas": "cas", "delete": "cas"}[verb]
				p.Inject(loss.fault)

				start := time.Now()
				var err error
				switch verb {
				case "add":
					err = s.Add(t.Context(), "k", []byte("new"), time.Minute)
				case "cas":
					err = s.CompareAndSwap(t.Context(), "k", []byte("new"), time.Minute, v)
				default:
					err = s.CompareAndDelete(t.Context(), "k", v)
				}
				require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
				require.NotErrorIs(t, err, sd.ErrUnavailable, "that would say that nothing was written")
				require.Less(t, time.Since(start), time.Second)
				require.Equal(t, before+1, p.Requests("add", "cas"), "sent once")

				item, err := sure.Get(t.Context(), "k")
				switch {
				case loss.applied && verb == "delete", !loss.applied && verb == "add":
					require.ErrorIs(t, err, sd.ErrNotFound)
				case loss.applied:
					require.Equal(t, "new", string(item.Value))
				default:
					require.Equal(t, "old", string(item.Value))
				}
			})
		}
	}
}

func TestALostReplyToAReadIsAskedForOnceMore(t *testing.T) {
	for _, loss := range losses {
		if loss.fault.Do == mct.DropReply || loss.fault.Delay != 0 || loss.fault.Do == mct.DropRequest {
			continue // nothing is left of the time
		}
		t.Run(loss.name, func(t *testing.T) {
			_, p, s := proxied(t)
			put(t, s, "k", "x")
			loss.fault.Verb = "gets"
			p.Inject(loss.fault)
			get(t, s, "k", "x")
			require.Zero(t, p.Pending())

			loss.fault.Times = 2
			p.Inject(loss.fault)
			_, err := s.Get(t.Context(), "k")
			require.ErrorIs(t, err, sd.ErrUnavailable, "once more, not for ever")
		})
	}
}

// A trickling server renews the deadline of gomemcache with every item.
func TestATricklingServerDoesNotDefeatTheTimeout(t *testing.T) {
	_, p, s := proxied(t, quick)
	put(t, s, "k", "a value of some bytes")
	p.Inject(mct.Fault{Verb: "gets", Do: mct.TrickleReply, Delay: 20 * time.Millisecond})
	start := time.Now()
	_, err := s.Get(t.Context(), "k")
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.Less(t, time.Since(start), 2*s.cfg.Timeout)
}

// A delayed plain set would overwrite the newer commit.
func TestADelayedWriteDoesNotOverwriteWhatCameAfterIt(t *testing.T) {
	srv, p, s := proxied(t, quick)
	sure := open(t, []string{srv.Addr()})
	v := put(t, s, "k", "old")
	p.Inject(mct.Fault{Verb: "cas", Do: mct.DelayRequest, Delay: 400 * time.Millisecond})
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", []byte("delayed"), time.Minute, v), sd.ErrOutcomeUnknown)
	require.NoError(t, sure.CompareAndSwap(t.Context(), "k", []byte("newer"), time.Minute, get(t, sure, "k", "old")))
	before := srv.Stat("cas_badval")
	eventually(t, 5*time.Second, "the delayed write arrives", func() bool { return srv.Stat("cas_badval") > before })
	get(t, sure, "k", "newer")
}

func TestAWriteThatWasNotSentToItsEndIsCertain(t *testing.T) {
	certs := mct.NewCerts(t)
	for name, c := range map[string]struct {
		args []string
		edit func(*Config)
	}{
		"plain": {nil, func(*Config) {}},
		"TLS":   {[]string{"-Z", "-o", "ssl_chain_cert=" + certs.Cert + ",ssl_key=" + certs.Key}, trusting(certs)},
	} {
		t.Run(name, func(t *testing.T) {
			srv := mct.Start(t, append(c.args, "-I", "64m", "-m", "256")...)
			s := open(t, []string{srv.Addr()}, quick, c.edit)
			big := make([]byte, 32<<20) // more than the system takes
			put(t, s, "warm", "x")
			srv.Pause()
			start := time.Now()
			err := s.Add(t.Context(), "k", big, time.Minute)
			took := time.Since(start)
			srv.Resume()
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Less(t, took, 2*time.Second)
			absent(t, open(t, []string{srv.Addr()}, c.edit), "k")
		})
	}
}

func TestACommitThatWasSentIsAwaitedWhateverTheContextDoes(t *testing.T) {
	_, p, s := proxied(t)
	v := put(t, s, "k", "x")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p.Inject(mct.Fault{Verb: "cas", Do: mct.DelayReply, Delay: 200 * time.Millisecond})
	require.NoError(t, s.CompareAndSwap(ctx, "k", []byte("y"), time.Minute, v))
	require.Error(t, ctx.Err())
}

func TestAReadIsAbandonedWhenItsContextEnds(t *testing.T) {
	_, p, s := proxied(t)
	put(t, s, "k", "x")
	p.Inject(mct.Fault{Verb: "gets", Do: mct.DropReply})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Get(ctx, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.Less(t, time.Since(start), s.cfg.Timeout)
	get(t, s, "k", "x") // and the server is not blamed
}
