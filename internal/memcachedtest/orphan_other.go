//go:build !linux

package memcachedtest

import "syscall"

// Without such a signal, a test process that is killed leaves its servers.
func withParent() *syscall.SysProcAttr { return nil }
