package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// refuseUnknown says that the kernel has no such key.
func (d *differ) refuseUnknown(key string) {
	reason, cure := "the kernel has no such setting", "load the module or boot a kernel that has it"
	_, iface, _, ok := confOf(key)
	switch {
	case strings.HasPrefix(key, "net/ipv6/") && d.noIPv6():
		reason = "the kernel has IPv6 disabled"
		cure = "boot without ipv6.disable=1, or take the IPv6 prefixes out of the topology"
	case ok:
		reason, cure = fmt.Sprintf("there is no interface %s", iface), "create it first"
	}
	d.refusals = append(d.refusals, backend.Refuse(object(key), cure, "%s", reason))
}

func (d *differ) noIPv6() bool {
	_, ok, err := get(d.settings, forward6)
	return err == nil && !ok
}

// refuseLocked says that a key would have to be written and may not be.
func (d *differ) refuseLocked(from, to *setting) {
	if from.Value == to.Value {
		return
	}
	err := d.settings.Writable(to.Key)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		d.refusals = append(d.refusals, backend.Refuse(object(to.Key),
			fmt.Sprintf("run with privileges, or set it on the host: sysctl -w %s=%q", dotted(to.Key), to.Value),
			"is %s, should be %s, and may not be written here", from.Value, to.Value))
	default:
		d.refusals = append(d.refusals, fmt.Errorf("looking at %s: %w", dotted(to.Key), err))
	}
}
