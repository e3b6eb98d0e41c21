package sessiondata_test

import (
	"context"
	"fmt"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// A user logs in on three devices, looks at the list, and logs out everywhere
// but here.
func ExampleContainer_Revoke() {
	ctx := context.Background()
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{MaxSessions: 5})
	if err != nil {
		fmt.Println(err)
		return
	}
	list := func() {
		devices, err := c.Sessions(ctx, "shop", "user 42")
		if err != nil {
			fmt.Println(err)
		}
		for _, d := range devices {
			fmt.Println("-", d.Label)
		}
	}
	var here string // the id in this device's cookie
	for _, device := range []string{"desk", "phone", "tablet"} {
		err := sd.Run(ctx, func(tx *sd.Txn) error {
			s, err := c.New(ctx, tx)
			if err != nil {
				return err
			}
			here = s.ID()
			if err := s.SetSubject("shop", "user 42"); err != nil {
				return err
			}
			return s.SetLabel(device)
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	list()
	if err := c.Revoke(ctx, "shop", "user 42", c.Ref(here)); err != nil {
		fmt.Println(err)
	}
	fmt.Println("revoked")
	list()
	// Output:
	// - tablet
	// - phone
	// - desk
	// revoked
	// - tablet
}
