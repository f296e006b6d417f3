package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// HasLinkType reports whether the kernel can create links of a type, such as
// "wireguard", by creating one in a network namespace of its own. A test that
// wants a type asks here which variant to run; it is not meant for skipping.
func HasLinkType(kind string) (has bool, err error) {
	err = rtnl.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return startError(err)
		}
		return netlink.LinkAdd(&netlink.GenericLink{
			LinkAttrs: netlink.LinkAttrs{Name: "probe"},
			LinkType:  kind,
		})
	})
	switch {
	case err == nil, errors.Is(err, unix.EINVAL):
		// The type is there, even where it wants parameters.
		return true, nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	default:
		return false, fmt.Errorf("creating %s link: %w", kind, err)
	}
}
