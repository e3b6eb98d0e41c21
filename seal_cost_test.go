package sessiondata

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What sealing may cost: 1.5 µs, and 1 ns for each byte of the session.
const (
	sealBar     = 1500
	sealBarByte = 1
)

// BenchmarkSealing tells what sealing adds to a read, and to a write, as
// added-ns/op, beside the bar. A read is from the id and the stored bytes to the
// image, a write from there to the bytes to store; the key of the session is
// derived in either. Plain and sealed take turns of some 50 µs, of which the
// median counts, so that what else the machine does meets both, or neither.
func BenchmarkSealing(b *testing.B) {
	plain := &Container{cfg: Config{Name: "session"}}
	sealed := &Container{cfg: plain.cfg, ring: newRing([]Key{{ID: 1, Secret: make([]byte, KeySize)}}, nil)}
	const id = "u3Q7vG1kq0f8h5Jm2Zc9Xy4Tb6Nd1Ws3Er7Lp0Ka8Vi" // of the usual length
	for _, size := range []int{100, 1_000, 10_000, 150_000} {
		_, body := tableOf(b, map[string][]byte{"key": make([]byte, size)})
		write := func(c *Container) []byte {
			d := draft{head: head{codec: 1, birth: 1}, pkgs: []edit{{name: "package", body: body}}}
			raw, err := d.encode(c.storageKey(id), math.MaxInt)
			if err != nil {
				b.Fatal(err)
			}
			return raw
		}
		stored := map[*Container][]byte{plain: write(plain), sealed: write(sealed)}
		for op, do := range map[string]func(c *Container){
			"write": func(c *Container) { giveBuffer(write(c)) },
			"read": func(c *Container) {
				if _, err := decodeImage(stored[c], c.storageKey(id)); err != nil {
					b.Fatal(err)
				}
			},
		} {
			b.Run(fmt.Sprintf("%s/%d", op, size), func(b *testing.B) {
				turn := 1 + int(50*time.Microsecond)/(4000+size)
				var took [2][]float64
				for b.Loop() {
					for i, c := range []*Container{plain, sealed} {
						start := time.Now()
						for range turn {
							do(c)
						}
						took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/float64(turn))
					}
				}
				slices.Sort(took[0])
				slices.Sort(took[1])
				b.ReportMetric(0, "ns/op") // of both, and so of neither
				b.ReportMetric(took[1][len(took[1])/2]-took[0][len(took[0])/2], "added-ns/op")
				b.ReportMetric(sealBar+sealBarByte*float64(len(stored[plain])), "bar-ns/op")
			})
		}
	}
}

// The key of a session is what HKDF makes of it, however it is worked out.
func TestTheKeyOfASessionIsHKDFs(t *testing.T) {
	for _, id := range []string{"", "id", string(make([]byte, 1024))} {
		secret := make([]byte, KeySize)
		secret[5] = 7
		k := newRing([]Key{{ID: 1, Secret: secret}}, nil)[0]
		for range 3 { // the first time it is set up, later it is used again
			e := k.macs.Get().(*expander)
			got := slices.Clone(e.expand("container", id))
			k.macs.Put(e)
			want, err := hkdf.Key(sha256.New, secret, nil, "sessiondata 1\x00container\x00"+id, KeySize)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}
