package ppp

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/ppp-ioctl.h: to attach to an interface, and to ask it for how long it has
// been idle, in seconds of 32 bits.
const (
	ppPIOCATTACH  = 0x4004743d
	ppPIOCGIDLE32 = 0x8008743f
)

// idle is how long nothing has gone through an interface, 0 where nobody can tell. Only
// pppd's own names lead to the number by which the kernel is asked.
func idle(name string) time.Duration {
	var unit int32
	if _, err := fmt.Sscanf(name, "ppp%d", &unit); err != nil {
		return 0
	}
	f, err := os.OpenFile("/dev/ppp", os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	// Attaching takes nothing away from pppd: only its own handle holds the interface.
	defer func() { _ = f.Close() }()
	if err := ioctl(f, ppPIOCATTACH, unsafe.Pointer(&unit)); err != nil {
		return 0
	}
	var times struct{ sent, received uint32 }
	if err := ioctl(f, ppPIOCGIDLE32, unsafe.Pointer(&times)); err != nil {
		return 0
	}
	return time.Duration(min(times.sent, times.received)) * time.Second
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
