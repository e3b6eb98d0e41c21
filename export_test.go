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

// SectionsOf tells what stands beside the body in an item found under key.
func SectionsOf(raw []byte, key string) (intent, note, forward bool, err error) {
	m, err := decodeImage(raw, newStorageKey(key))
	if err != nil {
		return false, false, false, err
	}
	return m.intent != nil, m.note != nil, m.forward != nil, nil
}
