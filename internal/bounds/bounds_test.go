package bounds

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var sink []byte

func TestWhatIsAllocatedBeyondTheBoundIsFound(t *testing.T) {
	require.NoError(t, Check(100, 10, func() { sink = make([]byte, 100) }))
	require.ErrorContains(t, Check(100, 10, func() { sink = make([]byte, 2*Floor) }), "an input of 100")
	require.NoError(t, Check(Floor, 2, func() { sink = make([]byte, 2*Floor) }))
	small := func() {
		for range 2 * Floor / 64 {
			sink = make([]byte, 64)
		}
	}
	require.Error(t, Check(0, 0, small), "many small ones count as well")
}
