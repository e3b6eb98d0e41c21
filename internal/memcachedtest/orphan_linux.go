package memcachedtest

import "syscall"

// withParent makes a server end with the test process, also when that is killed.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
