package sessiondata_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// exampleContainer returns a container over an empty store.
func exampleContainer(cfg sd.Config) *sd.Container {
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), cfg)
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func Example() {
	ctx := context.Background()
	sessions, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Timeout: 30 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}

	err = sessions.Update(ctx, "visitor", func(s *sd.Session) error {
		if err := s.Pkg("basket").Set("books", 2); err != nil {
			return err
		}
		return s.Pkg("user").Set("name", "Ada")
	})
	if err != nil {
		log.Fatal(err)
	}

	err = sessions.View(ctx, "visitor", func(s *sd.Session) error {
		books, err := sd.Get[int](s.Pkg("basket"), "books")
		if err != nil {
			return err
		}
		name, err := sd.GetOr(s.Pkg("user"), "name", "nobody")
		fmt.Println(name, "has", books, "books in", s.Packages())
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: Ada has 2 books in [basket user]
}

// An error of the function takes everything back.
func ExampleContainer_Update() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	err := sessions.Update(ctx, "visitor", func(s *sd.Session) error {
		if err := s.Pkg("basket").Set("books", 2); err != nil {
			return err
		}
		return errors.New("the books are out of print")
	})
	fmt.Println(err)

	_ = sessions.View(ctx, "visitor", func(s *sd.Session) error {
		fmt.Println("new:", s.IsNew(), s.Pkg("basket").Has("books"))
		return nil
	})
	// Output:
	// the books are out of print
	// new: true false
}

// A counter loses nothing: if another request has counted meanwhile, Update runs
// the function again.
func ExampleModify() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	done := make(chan error)
	for range 5 {
		go func() {
			done <- sessions.Update(ctx, "visitor", func(s *sd.Session) error {
				return sd.Modify(s.Pkg("stats"), "visits", func(n *int) error {
					*n++
					return nil
				})
			})
		}()
	}
	for range 5 {
		if err := <-done; err != nil {
			log.Fatal(err)
		}
	}

	_ = sessions.View(ctx, "visitor", func(s *sd.Session) error {
		visits, err := sd.Get[int](s.Pkg("stats"), "visits")
		fmt.Println(visits, err)
		return nil
	})
	// Output: 5 <nil>
}

// A message for the visitor's next page, shown once.
func ExamplePop() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	_ = sessions.Update(ctx, "visitor", func(s *sd.Session) error {
		return s.Pkg("flash").Set("notice", "Your order is on its way.")
	})
	for range 2 {
		_ = sessions.Update(ctx, "visitor", func(s *sd.Session) error {
			notice, err := sd.Pop[string](s.Pkg("flash"), "notice")
			if errors.Is(err, sd.ErrKeyNotFound) {
				fmt.Println("nothing to tell")
				return nil
			}
			fmt.Println(notice)
			return err
		})
	}
	// Output:
	// Your order is on its way.
	// nothing to tell
}

// One step of a workflow fails, and is taken back alone.
func ExampleTxn_Atomic() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	_ = sessions.Update(ctx, "visitor", func(s *sd.Session) error {
		basket := s.Pkg("basket")
		if err := basket.Set("books", 2); err != nil {
			return err
		}
		err := s.Txn().Atomic(func() error {
			if err := basket.Set("voucher", "SPRING"); err != nil {
				return err
			}
			return errors.New("the voucher has expired")
		})
		fmt.Println(err)
		fmt.Println(basket.Keys())
		return nil
	})
	// Output:
	// the voucher has expired
	// [books]
}

func ExampleSavepoint_Rollback() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	tx := sd.Begin()
	defer tx.Rollback() // harmless after a commit
	s, err := sessions.Session(ctx, tx, "visitor")
	if err != nil {
		log.Fatal(err)
	}
	page := s.Pkg("wizard")
	_ = page.Set("step", 1)
	sp, err := tx.Savepoint()
	if err != nil {
		log.Fatal(err)
	}
	for _, answer := range []string{"maybe", "no", "yes"} {
		_ = page.Set("step", 2)
		_ = page.Set("answer", answer)
		if answer == "yes" {
			break
		}
		if err := sp.Rollback(); err != nil { // as often as wanted
			log.Fatal(err)
		}
		fmt.Println(answer, page.Keys())
	}
	if err := tx.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	_ = sessions.View(ctx, "visitor", func(s *sd.Session) error {
		answer, err := sd.Get[string](s.Pkg("wizard"), "answer")
		fmt.Println(answer, err)
		return nil
	})
	// Output:
	// maybe [step]
	// no [step]
	// yes <nil>
}

// Two requests add to one list. Neither is lost: the resolver joins them.
func ExampleResolver() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{Resolve: func(c *sd.Collision) error {
		var theirs, mine []string
		if err := errors.Join(c.Theirs.Decode(&theirs), c.Mine.Decode(&mine)); err != nil {
			return err
		}
		return c.Keep(append(theirs, mine...))
	}})

	slow := sd.Begin()
	s, err := sessions.Session(ctx, slow, "visitor")
	if err != nil {
		log.Fatal(err)
	}
	_ = s.Pkg("seen").Set("pages", []string{"/slow"})

	_ = sessions.Update(ctx, "visitor", func(s *sd.Session) error {
		return s.Pkg("seen").Set("pages", []string{"/quick"})
	})
	fmt.Println(slow.Commit(ctx))

	_ = sessions.View(ctx, "visitor", func(s *sd.Session) error {
		pages, err := sd.Get[[]string](s.Pkg("seen"), "pages")
		fmt.Println(pages, err)
		return nil
	})
	// Output:
	// <nil>
	// [/quick /slow] <nil>
}

// Without a resolver the second commit is refused, and says for which values.
func ExampleConflictError() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	slow := sd.Begin()
	s, err := sessions.Session(ctx, slow, "visitor")
	if err != nil {
		log.Fatal(err)
	}
	_ = s.Pkg("user").Set("name", "Ada")
	_ = sessions.Update(ctx, "visitor", func(s *sd.Session) error { return s.Pkg("user").Set("name", "Grace") })

	err = slow.Commit(ctx)
	var conflict *sd.ConflictError
	if errors.As(err, &conflict) {
		fmt.Println(errors.Is(err, sd.ErrConflict), conflict.Keys)
	}
	// Output: true [{user name}]
}

// After a login the session gets a new id: whoever knew the old one has nothing.
func ExampleSession_Renew() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})

	_ = sessions.Update(ctx, "old", func(s *sd.Session) error { return s.Pkg("basket").Set("books", 2) })
	var id string
	err := sessions.Update(ctx, "old", func(s *sd.Session) (err error) {
		if err := s.Pkg("user").Set("name", "Ada"); err != nil {
			return err
		}
		id, err = s.Renew()
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"old", id} {
		_ = sessions.View(ctx, id, func(s *sd.Session) error {
			fmt.Println(s.Packages())
			return nil
		})
	}
	// Output:
	// []
	// [basket user]
}

// Two sessions, of two containers, change both or none.
func ExampleRun() {
	ctx := context.Background()
	store := memstore.New(memstore.Config{})
	visitors, err := sd.NewContainer(store, sd.Config{Name: "visitors"})
	if err != nil {
		log.Fatal(err)
	}
	tables, err := sd.NewContainer(store, sd.Config{Name: "tables", Timeout: sd.NoTimeout})
	if err != nil {
		log.Fatal(err)
	}

	err = sd.Run(ctx, func(tx *sd.Txn) error {
		visitor, err := visitors.Session(ctx, tx, "ada")
		if err != nil {
			return err
		}
		table, err := tables.Session(ctx, tx, "table 7")
		if err != nil {
			return err
		}
		return errors.Join(
			visitor.Pkg("seat").Set("table", 7),
			table.Pkg("guests").Set("ada", true),
		)
	})
	fmt.Println(err)
	_ = tables.View(ctx, "table 7", func(s *sd.Session) error {
		fmt.Println(s.Pkg("guests").Keys())
		return nil
	})
	// Output:
	// <nil>
	// [ada]
}

func ExamplePkgData_All() {
	ctx := context.Background()
	sessions := exampleContainer(sd.Config{})
	_ = sessions.Update(ctx, "visitor", func(s *sd.Session) error {
		basket := s.Pkg("basket")
		_ = basket.Set("tea", 1)
		_ = basket.Set("books", 2)
		for key, v := range basket.All() {
			n, err := v.Any()
			fmt.Println(key, n, err)
		}
		return nil
	})
	// Output:
	// books 2 <nil>
	// tea 1 <nil>
}

func ExampleNewContainer() {
	_, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{
		Name:       "my sessions",
		Timeout:    time.Minute,
		Resolution: time.Hour,
	})
	fmt.Println(err)
	// Output: sessiondata: invalid use: configuration: Name must be at most 64 letters, digits, '.', '_' or '-'; Resolution 1h0m0s is not shorter than Timeout 1m0s
}
