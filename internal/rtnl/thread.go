package rtnl

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnThread runs fn on a thread of its own, which ends with it: no other goroutine ever
// finds itself in the namespace that fn has moved that thread to.
//
// The thread is never the process's first. That one does not end with its goroutine, and
// /proc/PID/ns/net and /proc/PID/net tell its namespace as the whole process's: others
// would take the process for one of another host from then on.
func OnThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// While it is held here, fn gets another.
			defer runtime.UnlockOSThread()
			result <- OnThread(fn)
			return
		}
		// Still locked when the goroutine ends, the thread ends too.
		result <- fn()
	}()
	return <-result
}
