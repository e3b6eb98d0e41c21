package memcachestore

import (
	"testing"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

func TestTheStoreContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sd.Store {
		return open(t, []string{mct.Start(t).Addr()})
	})
}

func TestTheStoreContractOverThreeServers(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sd.Store {
		return open(t, []string{"a=" + mct.Start(t).Addr(), "b=" + mct.Start(t).Addr(), "c=" + mct.Start(t).Addr()})
	})
}
