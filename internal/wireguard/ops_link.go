package wireguard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// applyLink makes a whole interface, or removes it with all that is on it.
func (b *Backend) applyLink(ctx context.Context, from, to *link) error {
	if to == nil {
		if from == nil {
			return nil
		}
		return within(from.place, b.deleteLink(from))
	}
	if err := b.ensureLink(ctx, to); err != nil {
		return within(to.place, err)
	}
	return within(to.place, b.fillLink(to))
}

// deleteLink removes a link from where it is: one that shall live in a namespace is born
// in the host's own and may have got no further.
func (b *Backend) deleteLink(from *link) error {
	there, err := b.deleteIn(from.Netns, from)
	if err != nil || there || from.Netns == "" {
		return err
	}
	_, err = b.deleteIn("", from)
	return err
}

// deleteIn reports whether a link of that name was in that namespace. It stays if it is
// not the one that was meant.
func (b *Backend) deleteIn(netns string, from *link) (there bool, err error) {
	d, err := b.open(place{from.Name, netns})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.close()
	meant, err := b.meant(d, from.Alias)
	if err != nil || !meant {
		return true, err
	}
	if err := d.Do(rtnl.DelLink{Name: from.Name}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	return true, nil
}

// meant reports whether a link has the mark, or is blank: one that was made and that the
// process did not live to mark.
func (b *Backend) meant(d *device, mark string) (bool, error) {
	switch {
	case !isWireGuard(d.link):
		return false, nil
	case d.link.Alias == mark:
		return true, nil
	case d.link.Alias != "" || d.link.Up:
		return false, nil
	}
	if err := d.wireguard(b); err != nil {
		return false, err
	}
	w, err := d.wg.Device(d.link.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // somebody's tun device
	}
	if err != nil {
		return false, err
	}
	addrs, err := d.addresses()
	return len(addrs) == 0 && len(w.Peers) == 0 && w.PrivateKey == (wgtypes.Key{}), err
}

// ensureLink makes the link if it is missing. It is born in the host's own namespace and
// then moved: its UDP socket stays where it was born, so that the tunnel is carried by
// the host's network while its inside is cut off from it.
func (b *Backend) ensureLink(ctx context.Context, to *link) error {
	there, err := b.markLink(to.place, to.Alias)
	if there || err != nil {
		return err
	}
	born := place{Name: to.Name}
	if to.Netns != "" {
		if there, err = b.markLink(born, to.Alias); err != nil {
			return err
		}
	}
	if !there {
		if err := b.bear(ctx, to); err != nil {
			return err
		}
		if _, err := b.markLink(born, to.Alias); err != nil {
			return err
		}
	}
	if to.Netns == "" {
		return nil
	}
	return b.move(to)
}

// markLink reports whether the link is there, and marks it. Somebody else's link is
// fs.ErrExist.
func (b *Backend) markLink(p place, mark string) (there bool, err error) {
	d, err := b.open(p)
	if errors.Is(err, fs.ErrNotExist) && (p.Netns == "" || b.Namespaces.Has(p.Netns)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.close()
	switch meant, err := b.meant(d, mark); {
	case err != nil:
		return true, err
	case !meant:
		return true, fmt.Errorf("it is somebody else's: %w", fs.ErrExist)
	case d.link.Alias == mark:
		return true, nil
	}
	return true, d.Do(rtnl.SetLink{Name: p.Name, Alias: &mark})
}

// bear makes the link in the host's own namespace, by the kernel or else by a process.
func (b *Backend) bear(ctx context.Context, to *link) error {
	if !to.Userspace {
		n, err := b.Network("")
		if err != nil {
			return err
		}
		defer func() { _ = n.Close() }()
		err = n.Do(rtnl.AddLink{Name: to.Name, Kind: "wireguard"})
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if b.Userspace == nil {
		return errors.New("this kernel has no WireGuard, and there is no userspace one")
	}
	if err := b.Userspace.Start(ctx, to.Name); err != nil {
		return fmt.Errorf("starting userspace WireGuard: %w", err)
	}
	return b.awaitDevice(ctx, to.Name)
}

// The time that a process gets to make its link and to listen to its control socket, and
// how often is looked.
const (
	startTimeout  = 15 * time.Second
	startInterval = 20 * time.Millisecond
)

// awaitDevice waits until the process answers for its device.
func (b *Backend) awaitDevice(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(startInterval)
	defer ticker.Stop()
	for {
		err := b.reachDevice(name)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for userspace WireGuard: %w", err)
		case <-ticker.C:
		}
	}
}

func (b *Backend) reachDevice(name string) error {
	d, err := b.open(place{Name: name})
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.wireguard(b); err != nil {
		return err
	}
	_, err = d.wg.Device(name)
	return err
}

// move takes the new link into its namespace; it keeps its mark.
func (b *Backend) move(to *link) error {
	f, err := b.Namespaces.Open(to.Netns)
	if err != nil {
		return fmt.Errorf("opening network namespace: %w", err)
	}
	defer func() { _ = f.Close() }()
	n, err := b.Network("")
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	return n.Do(rtnl.MoveLink{Name: to.Name, To: f})
}

// fillLink brings all that is on a link to what it shall be.
func (b *Backend) fillLink(to *link) error {
	d, err := b.open(to.place)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.wireguard(b); err != nil {
		return err
	}
	have, err := observeLink(d, d.wg, d.link, b.Secrets)
	if err != nil {
		return err
	}
	// All settings are written. Among them the link comes up, which routes need.
	if err := b.set(d, settings{}, settingsOf(to)); err != nil {
		return err
	}
	if err := d.changeAddresses(have.Addresses, to.Addresses); err != nil {
		return err
	}
	if err := b.changePeers(d, &have, have.Peers, to.Peers); err != nil {
		return err
	}
	routes, err := linkRoutes(d, d.link.Index) // only now: some may have gone with addresses
	if err != nil {
		return err
	}
	return d.changeRoutes(routes, to.Routes)
}

// applySettings changes single settings of a link that is there.
func (b *Backend) applySettings(_ context.Context, from, to *settings) error {
	if from == nil || to == nil || *from == *to {
		return nil
	}
	d, err := b.open(to.place)
	if err != nil {
		return within(to.place, err)
	}
	defer d.close()
	return within(to.place, b.set(d, *from, *to))
}

// set writes the settings that differ. They are absolute, so that one which has been
// written already does no harm. The device comes first: a link that comes up opens the
// socket with what the device then says.
func (b *Backend) set(d *device, from, to settings) error {
	cfg, differs, err := b.deviceConfig(from, to)
	if err != nil {
		return err
	}
	if differs {
		if err := d.wireguard(b); err != nil {
			return err
		}
		if err := d.wg.ConfigureDevice(d.link.Name, cfg); err != nil {
			return fmt.Errorf("configuring device: %w", err)
		}
	}
	r := rtnl.SetLink{Name: d.link.Name}
	if from.Alias != to.Alias {
		r.Alias = &to.Alias
	}
	if from.MTU != to.MTU {
		r.MTU = to.MTU
	}
	if from.Up != to.Up {
		r.Up = &to.Up
	}
	if r == (rtnl.SetLink{Name: d.link.Name}) {
		return nil
	}
	return d.Do(r)
}

// deviceConfig is what WireGuard has of the settings that differ, if any.
func (b *Backend) deviceConfig(from, to settings) (cfg wgtypes.Config, differs bool, err error) {
	if from.PrivateKey != to.PrivateKey {
		key, err := b.key(to.PrivateKey)
		if err != nil {
			return cfg, false, fmt.Errorf("private key: %w", err)
		}
		cfg.PrivateKey, differs = &key, true
	}
	if from.ListenPort != to.ListenPort {
		cfg.ListenPort, differs = &to.ListenPort, true
	}
	if from.FirewallMark != to.FirewallMark {
		cfg.FirewallMark, differs = &to.FirewallMark, true
	}
	return cfg, differs, nil
}

// key finds the key behind an id. No id is the zero key, which clears.
func (b *Backend) key(id secret.ID) (wgtypes.Key, error) {
	if id == "" {
		return wgtypes.Key{}, nil
	}
	v, err := b.Secrets.Value(id)
	if err != nil {
		return wgtypes.Key{}, err
	}
	return parseKey(v)
}
