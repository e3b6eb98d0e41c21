package sessiondata

import "sync"

// Large images are built in buffers that are used again: a store keeps none of
// what it is given. Small ones are cheaper to allocate.
const (
	pooledFrom = 4 << 10
	pooledTo   = 2 << 20
)

var buffers sync.Pool // of *[]byte

// takeBuffer returns an empty slice with room for size bytes, which may hold
// anything.
func takeBuffer(size int) []byte {
	if size >= pooledFrom {
		if b, ok := buffers.Get().(*[]byte); ok && cap(*b) >= size {
			return (*b)[:0]
		}
		// Room to grow, so that the next image of a growing session fits too.
		return make([]byte, 0, size+size/8)
	}
	return make([]byte, 0, size)
}

// giveBuffer takes back a slice that nobody refers to any more.
func giveBuffer(b []byte) {
	if cap(b) >= pooledFrom && cap(b) <= pooledTo {
		pooled := b // declared here, it is allocated only where it is needed
		buffers.Put(&pooled)
	}
}
