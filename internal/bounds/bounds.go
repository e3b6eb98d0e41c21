// Package bounds holds code that reads what others wrote to bounds of memory and
// time, for fuzz targets.
package bounds

import (
	"fmt"
	"runtime"
	"time"
)

const (
	// Floor is what may be allocated whatever the input.
	Floor = 256 << 10
	// hang is far beyond what any input takes, on a busy machine too.
	hang = 30 * time.Second
)

// Check runs fn, which works on an input of size bytes, and returns an error
// where it allocates more than Floor and perByte for each of them. It panics,
// with the stacks of all goroutines, where fn does not end. Other goroutines must
// rest, or be a part of the work.
func Check(size, perByte int, fn func()) error {
	timer := time.AfterFunc(hang, func() { panic("bounds: hangs") })
	defer timer.Stop()
	before := allocated()
	fn()
	used, most := allocated()-before, uint64(Floor+perByte*size)
	if used > most {
		return fmt.Errorf("%d bytes allocated for an input of %d, the bound is %d", used, size, most)
	}
	return nil
}

// allocated is exact, at the price of stopping the world.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
