package sessiondata

import "encoding/binary"

// Reseal returns an envelope with the checksum made to fit key, as an attacker
// would make it.
func Reseal(raw []byte, key string) []byte {
	body := append([]byte(nil), raw[:len(raw)-checksumSize]...)
	return binary.LittleEndian.AppendUint32(body, newStorageKey(key).checksum(body))
}

// TraceOf returns the Trace that c was configured with.
func TraceOf(c *Container) *Trace { return c.cfg.Trace }
