package userspace

import (
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// follower is a tun device whose MTU is that of its link wherever that is. wireguard-go
// looks in its own network namespace only: after the link was moved to another one it
// would go on with the MTU from before, and pad packets beyond the new one.
type follower struct {
	tun.Device
	events chan tun.Event
}

// follow wraps a device. Closing the device ends what follow starts.
func follow(d tun.Device) *follower {
	f := &follower{Device: d, events: make(chan tun.Event)}
	go f.forward()
	return f
}

// forward passes the device's events on, and what happens to its link elsewhere. It has
// to look: a subscription to another namespace's events would keep that namespace, and
// the link in it, alive when its last name is removed.
func (f *follower) forward() {
	defer close(f.events)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := 0
	for {
		select {
		case e, ok := <-f.Device.Events():
			if !ok {
				return
			}
			f.events <- e
		case <-tick.C:
			if mtu, err := f.MTU(); err == nil && mtu != last {
				last = mtu
				f.events <- tun.EventMTUUpdate
			}
		}
	}
}

// Events implements tun.Device.
func (f *follower) Events() <-chan tun.Event { return f.events }

// MTU implements tun.Device.
func (f *follower) MTU() (int, error) {
	name, ns, err := locate(f.File())
	if err != nil {
		return 0, fmt.Errorf("finding link: %w", err)
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("opening netlink: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("reading link %s: %w", name, err)
	}
	return link.Attrs().MTU, nil
}

// locate asks the kernel for the present name and namespace of a tun device's link.
func locate(file *os.File) (string, netns.NsHandle, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return "", netns.None(), err
	}
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", netns.None(), err
	}
	ns := netns.None()
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr); failed != nil {
			return
		}
		var n int
		if n, failed = unix.IoctlRetInt(int(fd), unix.TUNGETDEVNETNS); failed == nil {
			ns = netns.NsHandle(n)
		}
	})
	if err == nil {
		err = failed
	}
	return ifr.Name(), ns, err
}
