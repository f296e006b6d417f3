package userspace

import (
	"fmt"
	"os"

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

// forward passes the device's events on, and those of its link elsewhere.
func (f *follower) forward() {
	defer close(f.events)
	changed, done := make(chan struct{}, 1), make(chan struct{})
	defer close(done)
	go f.watch(changed, done)
	for {
		select {
		case e, ok := <-f.Device.Events():
			if !ok {
				return
			}
			f.events <- e
		case <-changed:
			f.events <- tun.EventMTUUpdate
		}
	}
}

// watch tells of every change of the link, through all namespaces that it visits.
func (f *follower) watch(changed chan<- struct{}, done <-chan struct{}) {
	for {
		name, ns, err := locate(f.File())
		if err != nil {
			return // the link is gone
		}
		err = watchIn(ns, name, changed, done)
		_ = ns.Close()
		if err != nil {
			return
		}
	}
}

// watchIn returns nil when the link has left the namespace.
func watchIn(ns netns.NsHandle, name string, changed chan<- struct{}, done <-chan struct{}) error {
	updates, stop := make(chan netlink.LinkUpdate), make(chan struct{})
	if err := netlink.LinkSubscribeWithOptions(updates, stop, netlink.LinkSubscribeOptions{Namespace: &ns}); err != nil {
		return err
	}
	defer func() {
		close(stop)
		for range updates { // its sender must not wait for us for ever
		}
	}()
	// Looked up only now: from here on no change is missed.
	link, err := linkIn(ns, name)
	if err != nil {
		return nil
	}
	for {
		select {
		case changed <- struct{}{}:
		default: // it is about to be looked at anyway
		}
		for {
			u, err := next(updates, done)
			if err != nil || u.Header.Type == unix.RTM_DELLINK && int(u.Index) == link.Index {
				return err
			}
			if int(u.Index) == link.Index {
				break
			}
		}
	}
}

// next waits for an update; an end of them is an error.
func next(updates <-chan netlink.LinkUpdate, done <-chan struct{}) (netlink.LinkUpdate, error) {
	select {
	case u, ok := <-updates:
		if ok {
			return u, nil
		}
	case <-done:
	}
	return netlink.LinkUpdate{}, os.ErrClosed
}

// linkIn reads a link of a namespace.
func linkIn(ns netns.NsHandle, name string) (*netlink.LinkAttrs, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("reading link %s: %w", name, err)
	}
	return link.Attrs(), nil
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
	link, err := linkIn(ns, name)
	if err != nil {
		return 0, err
	}
	return link.MTU, nil
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
