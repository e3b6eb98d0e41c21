package sessiondata_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// eachCodec runs fn with a container of each codec of the library.
func eachCodec(t *testing.T, fn func(t *testing.T, c *sd.Container)) {
	for name, codec := range map[string]sd.Codec{"MessagePack": sd.MessagePack(), "JSON": sd.JSON()} {
		t.Run(name, func(t *testing.T) { fn(t, container(t, newWire(), sd.Config{Codec: codec})) })
	}
}

// comesBack stores v and reads it into a T in another transaction.
func comesBack[T any](t *testing.T, c *sd.Container, v T) {
	t.Helper()
	set(t, c, "id", "p", "k", v)
	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		got, err := sd.Get[T](s.Pkg("p"), "k")
		require.NoError(t, err)
		if diff := cmp.Diff(v, got, cmp.AllowUnexported(person{})); diff != "" {
			t.Errorf("%T came back differently (-stored +read):\n%s", v, diff)
		}
		return nil
	}))
}

type person struct {
	Name    string
	Age     int8
	Tags    []string
	Scores  map[string]int
	Parent  *person
	Born    time.Time
	Secret  []byte
	Ratio   float64
	Any     any
	private int
}

func TestRule04_ValuesComeBackAsTheyWere(t *testing.T) {
	eachCodec(t, func(t *testing.T, c *sd.Container) {
		comesBack(t, c, int64(math.MinInt64))
		comesBack(t, c, int64(math.MaxInt64))
		comesBack(t, c, uint64(math.MaxUint64))
		comesBack(t, c, int8(-128))
		comesBack(t, c, uint16(65535))
		comesBack(t, c, float32(1.5))
		comesBack(t, c, math.MaxFloat64)
		comesBack(t, c, true)
		comesBack(t, c, "")
		comesBack(t, c, "snowman \u2603 \x00 end")
		comesBack(t, c, []byte{0, 1, 0xff})
		comesBack(t, c, []byte{})
		comesBack(t, c, strings.Repeat("long ", 20000))
		comesBack(t, c, [3]int{1, 2, 3})
		comesBack(t, c, map[string]map[string][]int{"a": {"b": {1}, "c": nil}, "": {}})
		comesBack(t, c, map[int]string{-5: "x", 70000: "y"})
		comesBack(t, c, []any{nil, true, "s", 1.5, map[string]any{"k": []any{int64(1)}}})
		comesBack(t, c, any(int64(5)))
		comesBack(t, c, any(uint64(math.MaxUint64)))
		comesBack(t, c, map[string]any{"n": int64(70000), "deep": map[string]any{"n": int64(-1)}})
		comesBack(t, c, time.Hour)
		comesBack(t, c, struct{}{})
	})
}

func TestRule04_TimesComeBackAsTheSameInstant(t *testing.T) {
	eachCodec(t, func(t *testing.T, c *sd.Container) {
		for _, at := range []time.Time{
			time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.FixedZone("x", 5*3600)),
			time.Unix(0, 0), time.Unix(-1, 999999999), time.Unix(1<<33, 0), time.Unix(1<<34, 5),
			time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
			{},
			time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		} {
			comesBack(t, c, at)
			comesBack(t, c, []time.Time{at})
			comesBack(t, c, person{Born: at})
		}
	})
}

func TestRule04_StructsComeBackAsTheyWere(t *testing.T) {
	eachCodec(t, func(t *testing.T, c *sd.Container) {
		v := person{
			Name: "n", Age: -3, Tags: []string{"a"}, Scores: map[string]int{"z": 1, "a": 2}, Parent: &person{Name: "p"},
			Born: time.Unix(1e9, 1), Secret: []byte{1}, Ratio: 0.1, Any: map[string]any{"n": int64(200)}, private: 9,
		}
		set(t, c, "id", "p", "k", v)
		require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
			got, err := sd.Get[person](s.Pkg("p"), "k")
			require.NoError(t, err)
			v.private = 0
			if c, ok := got.Any.(map[string]any)["n"].(float64); ok { // encoding/json, deep in a struct
				got.Any.(map[string]any)["n"] = int64(c)
			}
			require.Empty(t, cmp.Diff(v, got, cmp.AllowUnexported(person{})))
			return nil
		}))
	})
}

func TestRule04_BytesInAnAnyAreBytesInMessagePack(t *testing.T) {
	c := container(t, newWire())
	comesBack(t, c, any([]byte{1, 2}))
	comesBack(t, c, []any{[]byte{1}, "s"})
	comesBack(t, c, map[string]any{"b": []byte{1}, "list": []any{[]byte{2}}})
	comesBack(t, c, struct{ V any }{[]byte{3}})
}

func TestRule04_IntegersInAnAnyAreInt64OrUint64WhereverTheyStand(t *testing.T) {
	type deep struct {
		Field any
		List  []any
		Map   map[string]any
		Inner []map[string]struct{ V any }
		Ptr   *any
		Arr   [1]any
		Odd   map[float64]any
		Time  time.Time
	}
	c := container(t, newWire())
	for _, n := range []any{int64(0), int64(5), int64(200), int64(-200), int64(70000), int64(1 << 40), uint64(1 << 63)} {
		comesBack(t, c, deep{
			Field: n, List: []any{n}, Map: map[string]any{"n": n, "l": []any{n}},
			Inner: []map[string]struct{ V any }{{"x": {n}}}, Ptr: &n, Arr: [1]any{n}, Odd: map[float64]any{1.5: n},
		})
	}
	comesBack(t, c, map[string][]any{"x": {1.5, nil, "s"}})
}

func TestRule04_NilIsAValue(t *testing.T) {
	eachCodec(t, func(t *testing.T, c *sd.Container) {
		set(t, c, "id", "p", "k", nil)
		set(t, c, "id", "p", "pointer", (*int)(nil))
		require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
			p := s.Pkg("p")
			require.True(t, p.Has("k"))
			require.Equal(t, []string{"k", "pointer"}, p.Keys())
			got, err := sd.Get[any](p, "k")
			require.NoError(t, err)
			require.Nil(t, got)
			ptr, err := sd.Get[*int](p, "pointer")
			require.NoError(t, err)
			require.Nil(t, ptr)
			m, err := sd.GetOr(p, "k", map[string]int{"otherwise": 1})
			require.NoError(t, err)
			require.Nil(t, m)
			return nil
		}))
	})
}

func TestRule04_EqualMapsAreEqualWhateverTheirOrder(t *testing.T) {
	type named map[string]any
	build := func(n int) []any {
		one := map[string]int{}
		two := map[int]bool{}
		three := map[string]any{}
		four := named{}
		five := map[any]any{}
		six := map[float64]map[string]string{}
		seven := map[[2]int]string{}
		for i := range 20 {
			k := (i*7 + n) % 20
			one[fmt.Sprint(k)] = k
			two[k] = k%2 == 0
			three[fmt.Sprint(k)] = map[string]int8{"x": 1, fmt.Sprint(k): 2}
			four[fmt.Sprint(k)] = []any{map[int]int{k: 1, -k - 1: 2}}
			five[fmt.Sprint(k)] = k
			six[float64(k)] = map[string]string{"a": "1", "b": "2"}
			seven[[2]int{k, 1}] = "v"
		}
		return []any{
			one, two, three, four, five, six, seven,
			struct{ M map[string]int }{one},
			[]any{one, map[string]any{"deep": two}},
			&one,
			map[string]named{"x": four},
		}
	}
	w := newWire()
	c := container(t, w)
	for i, v := range build(0) {
		set(t, c, "id", "p", fmt.Sprint(i), v)
	}
	w.forget()
	for n := range 20 {
		update(t, c, "id", func(s *sd.Session) {
			for i, v := range build(n) {
				require.NoError(t, s.Pkg("p").Set(fmt.Sprint(i), v))
				require.Equal(t, sd.Unmodified, s.Status(), "%T", v)
			}
		})
	}
	require.Empty(t, w.writes())
}

func TestRule04_UnencodableValueIsRefusedBySetNamesPackageAndKeyAndLeavesNoTrace(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	type node struct{ Next *node }
	ring := &node{}
	ring.Next = ring
	var knot any
	knot = &knot
	bad := map[string]any{
		"chan": make(chan int), "func": func() {}, "complex": complex(1, 2), "nested": map[string]any{"x": make(chan int)},
		"field": struct{ F func() }{func() {}}, "cycle": cycle, "ring": ring, "knot": knot, "own": refusesToEncode{}, "zero Value": sd.Value{},
	}
	eachCodec(t, func(t *testing.T, c *sd.Container) {
		for name, v := range bad {
			if name == "chan" {
				set(t, c, "id", "pkg", "there", 1)
			}
			tx, s := begin(t, c, "id")
			for _, err := range []error{
				s.Pkg("pkg").Set("key-name", v),
				second(sd.SetDefault(s.Pkg("pkg"), "key-name", v)),
				sd.Modify(s.Pkg("pkg"), "key-name", func(to *any) error { *to = v; return nil }),
			} {
				require.ErrorIs(t, err, sd.ErrValue, name)
				require.Contains(t, err.Error(), `"pkg"`, name)
				require.Contains(t, err.Error(), `"key-name"`, name)
				require.NotContains(t, err.Error(), "secret", name)
			}
			require.False(t, s.Pkg("pkg").Has("key-name"), name)
			require.Equal(t, sd.Unmodified, s.Status(), name)
			require.NoError(t, s.Pkg("pkg").Set("ok", 1))
			require.ErrorIs(t, s.Pkg("pkg").Set("ok", v), sd.ErrValue)
			require.Equal(t, 1, first(sd.Get[int](s.Pkg("pkg"), "ok")), "the value before it stays")
			require.NoError(t, tx.Rollback())
		}
	})
}

type refusesToEncode struct{}

func (refusesToEncode) MarshalText() ([]byte, error) { return nil, errors.New("secret value 42") }

func TestRule04_WrongTargetTypeIsErrValueNamingTheKey(t *testing.T) {
	eachCodec(t, func(t *testing.T, c *sd.Container) {
		update(t, c, "id", func(s *sd.Session) {
			p := s.Pkg("pkg")
			require.NoError(t, p.Set("text", "secret"))
			require.NoError(t, p.Set("number", 300))
			require.NoError(t, p.Set("negative", -1))
			require.NoError(t, p.Set("big", uint64(math.MaxUint64)))
			require.NoError(t, p.Set("list", []int{300, -1}))
			require.NoError(t, p.Set("map", map[string]int{"a": 300}))
			require.NoError(t, p.Set("struct", struct{ N, M int }{300, -1}))
		})
		require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
			p := s.Pkg("pkg")
			type narrow struct{ N int8 }
			type unsigned struct{ M uint }
			for name, err := range map[string]error{
				"text":     second(sd.Get[int](p, "text")),
				"text ":    second(sd.Get[person](p, "text")),
				"text  ":   second(sd.Get[[]int](p, "text")),
				"text   ":  second(sd.Pop[int](container2(t, c, p), "text")),
				"number":   second(sd.Get[int8](p, "number")),
				"number ":  second(sd.Get[string](p, "number")),
				"number  ": p.Get("number", nil),
				"number 3": p.Get("number", 5),
				"number 4": p.Get("number", (*int)(nil)),
				"number 5": second(sd.Get[*int8](p, "number")),
				"negative": second(sd.Get[uint64](p, "negative")),
				"big":      second(sd.Get[int64](p, "big")),
				"list":     second(sd.Get[map[string]int](p, "list")),
				"list ":    second(sd.Get[[]int8](p, "list")),
				"list  ":   second(sd.Get[[]uint](p, "list")),
				"list   ":  second(sd.Get[[2]int8](p, "list")),
				"map":      second(sd.Get[int](p, "map")),
				"map ":     second(sd.Get[map[string]int8](p, "map")),
				"map  ":    second(sd.Get[map[int]int](p, "map")),
				"map   ":   second(sd.Get[map[string]*int8](p, "map")),
				"struct":   second(sd.Get[narrow](p, "struct")),
				"struct ":  second(sd.Get[*unsigned](p, "struct")),
				"struct  ": second(sd.Get[map[string]uint8](p, "struct")),
			} {
				require.ErrorIs(t, err, sd.ErrValue, name)
				require.Contains(t, err.Error(), `"pkg"`, name)
				require.Contains(t, err.Error(), `"`+strings.Fields(name)[0]+`"`, name)
				require.NotContains(t, err.Error(), "secret", name)
				require.NotContains(t, err.Error(), "300", name)
			}
			return nil
		}))
	})
}

// container2 is the same package in a transaction that may change it.
func container2(t *testing.T, c *sd.Container, p *sd.PkgData) *sd.PkgData {
	tx, s := begin(t, c, "id")
	t.Cleanup(func() { _ = tx.Rollback() })
	return s.Pkg(p.Name())
}

func first[T any](v T, _ error) T        { return v }
func second[T any](_ T, err error) error { return err }

func TestRule04_PopOfAValueThatDoesNotFitLeavesItThere(t *testing.T) {
	c := container(t, newWire())
	set(t, c, "id", "p", "k", "text")
	update(t, c, "id", func(s *sd.Session) {
		require.ErrorIs(t, second(sd.Pop[int](s.Pkg("p"), "k")), sd.ErrValue)
		require.ErrorIs(t, second(sd.SetDefault(s.Pkg("p"), "k", 5)), sd.ErrValue)
		require.ErrorIs(t, sd.Modify(s.Pkg("p"), "k", func(*int) error { return nil }), sd.ErrValue)
		require.Equal(t, sd.Unmodified, s.Status())
	})
	require.Equal(t, pkg("p", map[string]any{"k": "text"}), stored(t, c, "id"))
}

func TestRule04_ValuesMayBeMovedBetweenKeysAndSessionsOfAnyCodec(t *testing.T) {
	w := newWire()
	m, j := container(t, w, sd.Config{Name: "m"}), container(t, w, sd.Config{Name: "j", Codec: sd.JSON()})
	set(t, m, "id", "p", "k", map[string]any{"n": 5})
	var held sd.Value
	require.NoError(t, m.View(t.Context(), "id", func(s *sd.Session) error {
		for _, v := range s.Pkg("p").All() {
			held = v
		}
		return nil
	}))
	for _, c := range []*sd.Container{m, j} {
		set(t, c, "id", "q", "copy", held)
		require.Equal(t, map[string]any{"n": int64(5)}, stored(t, c, "id")["q"]["copy"])
	}
	var n struct{ N int }
	require.NoError(t, held.Decode(&n), "a Value outlives its transaction")
	require.ErrorIs(t, sd.Value{}.Decode(&n), sd.ErrKeyNotFound)
	require.True(t, sd.Value{}.IsZero())
	require.True(t, sd.Value{}.Equal(sd.Value{}))
	require.False(t, held.Equal(sd.Value{}))
	require.True(t, held.Equal(held))
}

func TestRule04_SessionKeepsTheCodecItWasStoredWith(t *testing.T) {
	w := newWire()
	m, j := container(t, w), container(t, w, sd.Config{Codec: sd.JSON()})
	set(t, j, "id", "p", "k", 1)
	set(t, m, "id", "p", "k2", []byte{1})
	require.Equal(t, pkg("p", map[string]any{"k": int64(1), "k2": "AQ=="}), stored(t, m, "id"))
	own := container(t, w, sd.Config{Codec: &faultyCodec{Codec: sd.JSON()}})
	set(t, own, "id", "p", "k3", 3)
	require.Len(t, stored(t, j, "id")["p"], 3)

	set(t, own, "new", "p", "k", 1)
	_, err := m.Session(t.Context(), sd.Begin(), "new")
	require.ErrorIs(t, err, sd.ErrUnsupportedVersion)
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, own, "new"), "and it is left alone")
}
