package l2tp

import (
	"context"
	"errors"
	"net/netip"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// maxHost is the longest name of a server that xl2tpd keeps.
const maxHost = 99

// Check implements backend.Backend.
func (b *Backend) Check(ctx context.Context, in backend.Input) error {
	want := sections(&in.Want.PPP)
	if len(want) == 0 {
		return nil
	}
	h, err := b.Daemon.State(ctx)
	if err != nil {
		return err
	}
	taken, err := b.Taken()
	if err != nil {
		return err
	}
	errs := []error{b.owner().Check(in, confFile(want)), b.units().Check(in, unitFiles(want, h)), b.checkDaemon(h, taken)}
	for _, l := range in.Want.PPP.LinksOf(desired.L2TP) {
		errs = append(errs, checkLink(&l))
	}
	return errors.Join(errs...)
}

func (b *Backend) checkDaemon(h DaemonState, taken string) error {
	var errs []error
	if !h.Installed {
		errs = append(errs, backend.Refuse(daemonObject, "apt install xl2tpd", "xl2tpd is missing"))
	}
	if !b.Kernel() {
		errs = append(errs, backend.Refuse(daemonObject,
			"modprobe l2tp_ppp, which Debian's linux-image-amd64 has and its cloud kernels have not",
			"this host's kernel has no L2TP for PPP"))
	}
	if h.Config != "" {
		errs = append(errs, backend.Refuse(daemonObject, "stop it, or let it read "+ConfPath,
			"an xl2tpd that reads %s runs on this host", h.Config))
	}
	if taken != "" {
		errs = append(errs, backend.Refuse(daemonObject, "stop it", "UDP port %d is taken by %s", port, taken))
	}
	return errors.Join(errs...)
}

// checkLink looks for a server that xl2tpd cannot dial.
func checkLink(l *desired.PPPLink) error {
	if a, err := netip.ParseAddr(l.Server); err == nil && !a.Is4() {
		return backend.Refuse(l.Object(), "give the server an IPv4 address", "xl2tpd cannot dial %s: it knows IPv4 only", l.Server)
	}
	if len(l.Server) > maxHost {
		return backend.Refuse(l.Object(), "give the server a shorter name, or an address",
			"xl2tpd cannot dial a name of more than %d characters", maxHost)
	}
	return nil
}
