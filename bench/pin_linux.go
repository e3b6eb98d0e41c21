package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// pin binds every thread of this process and of the others to one processor, as
// taskset -a does, and returns the way back. Threads made later inherit it.
func pin(pids ...int) (unpin func() error, cpu int, err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, 0, err
	}
	cpu = -1
	for i := range len(before) * 64 {
		if before.IsSet(i) {
			cpu = i // the last: the first serves most interrupts
		}
	}
	var one unix.CPUSet
	one.Set(cpu)
	pids = append([]int{os.Getpid()}, pids...)
	procs := runtime.GOMAXPROCS(0)
	back := func() error {
		runtime.GOMAXPROCS(procs)
		return bind(pids, &before)
	}
	if err := bind(pids, &one); err != nil {
		return nil, 0, fmt.Errorf("binding to processor %d: %w", cpu, err)
	}
	runtime.GOMAXPROCS(1)
	return back, cpu, nil
}

func bind(pids []int, set *unix.CPUSet) error {
	for _, pid := range pids {
		// Twice: a thread may have been made while the first pass ran.
		for range 2 {
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			if err != nil {
				return err
			}
			for _, t := range threads {
				tid, err := strconv.Atoi(t.Name())
				if err != nil {
					return err
				}
				if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
					return err
				}
			}
		}
	}
	return nil
}

// processorTime is what this process and the others have used of processors.
func processorTime(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range append(pids, os.Getpid()) {
		// The clock of a process, as clock_getcpuclockid(3) makes it.
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
			return 0, err
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}
