package sessiondata_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// benchShape is the size of a session: packages, keys in each, and values of about
// 75 bytes.
type benchShape struct {
	name       string
	pkgs, keys int
}

var benchShapes = []benchShape{{"S", 1, 5}, {"M", 10, 10}, {"L", 100, 20}}

type benchValue struct {
	Name  string
	Count int
	Tags  []string
}

func newBenchValue(i int) benchValue {
	return benchValue{Name: strings.Repeat("n", 40), Count: i, Tags: []string{"one", "two"}}
}

// fill stores a session of that shape under "id".
func (sh benchShape) fill(t testing.TB, c *sd.Container) {
	t.Helper()
	update(t, c, "id", func(s *sd.Session) {
		for p := range sh.pkgs {
			for k := range sh.keys {
				require.NoError(t, s.Pkg(pkgName(p)).Set(keyName(k), newBenchValue(k)))
			}
		}
	})
}

func pkgName(i int) string { return fmt.Sprintf("pkg%03d", i) }
func keyName(i int) string { return fmt.Sprintf("key%03d", i) }

func eachShape(b *testing.B, fn func(b *testing.B, c *sd.Container, sh benchShape)) {
	for _, sh := range benchShapes {
		b.Run(sh.name, func(b *testing.B) {
			c := container(b, memstore.New(memstore.Config{}))
			sh.fill(b, c)
			b.ReportAllocs()
			fn(b, c, sh)
		})
	}
}

// BenchmarkRead reads one value in a transaction of its own.
func BenchmarkRead(b *testing.B) {
	eachShape(b, func(b *testing.B, c *sd.Container, sh benchShape) {
		name, key := pkgName(sh.pkgs/2), keyName(sh.keys/2)
		ctx := context.Background()
		for b.Loop() {
			if err := c.View(ctx, "id", func(s *sd.Session) error {
				_, err := sd.Get[benchValue](s.Pkg(name), key)
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReadText is BenchmarkRead for a value of a common type.
func BenchmarkReadText(b *testing.B) {
	eachShape(b, func(b *testing.B, c *sd.Container, _ benchShape) {
		set(b, c, "id", pkgName(0), "text", strings.Repeat("x", 75))
		ctx := context.Background()
		for b.Loop() {
			if err := c.View(ctx, "id", func(s *sd.Session) error {
				_, err := sd.Get[string](s.Pkg(pkgName(0)), "text")
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkGet reads one value of a session that is open.
func BenchmarkGet(b *testing.B) {
	eachShape(b, func(b *testing.B, c *sd.Container, sh benchShape) {
		_, s := begin(b, c, "id")
		p, key := s.Pkg(pkgName(sh.pkgs/2)), keyName(sh.keys/2)
		for b.Loop() {
			if _, err := sd.Get[benchValue](p, key); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUpdate changes one value in a transaction of its own.
func BenchmarkUpdate(b *testing.B) {
	eachShape(b, func(b *testing.B, c *sd.Container, sh benchShape) {
		name, key := pkgName(sh.pkgs/2), keyName(sh.keys/2)
		ctx := context.Background()
		n := 0
		for b.Loop() {
			n++
			v := benchValue{Name: "0123456789012345678901234567890123456789", Count: n, Tags: benchTags}
			if err := c.Update(ctx, "id", func(s *sd.Session) error { return s.Pkg(name).Set(key, v) }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

var benchTags = []string{"one", "two"}

// BenchmarkCounter counts in a transaction of its own.
func BenchmarkCounter(b *testing.B) {
	eachShape(b, func(b *testing.B, c *sd.Container, _ benchShape) {
		ctx := context.Background()
		for b.Loop() {
			if err := c.Update(ctx, "id", count); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func count(s *sd.Session) error {
	return sd.Modify(s.Pkg("counter"), "n", func(n *int) error { *n++; return nil })
}

// BenchmarkCreate stores a session of the shape under a fresh id.
func BenchmarkCreate(b *testing.B) {
	for _, sh := range benchShapes {
		b.Run(sh.name, func(b *testing.B) {
			c := container(b, memstore.New(memstore.Config{MaxBytes: 64 << 20}))
			names, keys := make([]string, sh.pkgs), make([]string, sh.keys)
			for i := range names {
				names[i] = pkgName(i)
			}
			for i := range keys {
				keys[i] = keyName(i)
			}
			v := newBenchValue(7)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				tx := sd.Begin()
				s, err := c.New(ctx, tx)
				if err != nil {
					b.Fatal(err)
				}
				for _, name := range names {
					p := s.Pkg(name)
					for _, key := range keys {
						if err := p.Set(key, v); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := tx.Commit(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSavepoint takes a savepoint, changes one value and goes back: it must
// cost the same whatever the shape, under 2 microseconds and 500 bytes.
func BenchmarkSavepoint(b *testing.B) {
	eachShape(b, func(b *testing.B, c *sd.Container, sh benchShape) {
		tx, s := begin(b, c, "id")
		p, key := s.Pkg(pkgName(sh.pkgs/2)), keyName(sh.keys/2)
		for b.Loop() {
			stepBack(b, tx, p, key)
		}
	})
}

// stepBack is one step of a workflow that is taken back.
func stepBack(b testing.TB, tx *sd.Txn, p *sd.PkgData, key string) {
	sp, err := tx.Savepoint()
	if err == nil {
		err = p.Set(key, 1)
	}
	if err == nil {
		err = sp.Rollback()
	}
	if err == nil {
		err = sp.Release()
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkContention counts one counter from many goroutines.
func BenchmarkContention(b *testing.B) {
	c := container(b, memstore.New(memstore.Config{}), sd.Config{Attempts: 1000})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.Update(context.Background(), "id", count); err != nil {
				b.Error(err)
			}
		}
	})
}
