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

// deleteLink removes a link if it is the one that was meant: without an alias it is one
// that was made and not yet marked.
func (b *Backend) deleteLink(from *link) error {
	for _, netns := range birthplaces(from.place) {
		n, err := b.Network(netns)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the namespace went, and everything in it
		}
		if err != nil {
			return err
		}
		err = deleteFrom(n, from, netns)
		_ = n.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// birthplaces lists where a link can be: one that shall live in a namespace is born in
// the host's own and may have got no further.
func birthplaces(p place) []string {
	if p.Netns == "" {
		return []string{""}
	}
	return []string{p.Netns, ""}
}

func deleteFrom(n Network, from *link, netns string) error {
	l, err := n.Link(from.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	unmarked := l.Alias == "" && netns == from.Netns && isWireGuard(l)
	if l.Alias != from.Alias && !unmarked {
		return nil
	}
	if err := n.Do(rtnl.DelLink{Name: from.Name}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ensureLink makes the link if it is missing. It is born in the host's own namespace and
// then moved: its UDP socket stays where it was born, so that the tunnel is carried by
// the host's network while its inside is cut off from it.
func (b *Backend) ensureLink(ctx context.Context, to *link) error {
	if there, err := b.hasLink(to.place); there || err != nil {
		return err
	}
	here, err := b.hasLink(place{Name: to.Name})
	if err != nil {
		return err
	}
	if !here {
		if err := b.bear(ctx, to); err != nil {
			return err
		}
	}
	if to.Netns == "" {
		return nil
	}
	return b.move(to)
}

func (b *Backend) hasLink(p place) (bool, error) {
	n, err := b.Network(p.Netns)
	if err != nil {
		return false, inNetns(p.Netns, err)
	}
	defer func() { _ = n.Close() }()
	switch _, err = n.Link(p.Name); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// bear makes the link in the host's own namespace, by the kernel or else by a process.
func (b *Backend) bear(ctx context.Context, to *link) error {
	n, err := b.Network("")
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	mark := rtnl.SetLink{Name: to.Name, Alias: &to.Alias}
	if !to.Userspace {
		// In one call: nobody ever sees the link without its mark.
		err = n.Do(rtnl.AddLink{Name: to.Name, Kind: "wireguard"}, mark)
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
	if err := b.awaitDevice(ctx, to.Name); err != nil {
		return err
	}
	return n.Do(mark)
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

// move takes the new link into its namespace and marks it again there.
func (b *Backend) move(to *link) error {
	f, err := b.Namespaces.Open(to.Netns)
	if err != nil {
		return fmt.Errorf("opening network namespace: %w", err)
	}
	defer func() { _ = f.Close() }()
	outside, err := b.Network("")
	if err != nil {
		return err
	}
	defer func() { _ = outside.Close() }()
	if err := outside.Do(rtnl.MoveLink{Name: to.Name, To: f}); err != nil {
		return err
	}
	inside, err := b.Network(to.Netns)
	if err != nil {
		return err
	}
	defer func() { _ = inside.Close() }()
	return inside.Do(rtnl.SetLink{Name: to.Name, Alias: &to.Alias})
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
	have, err := observeLink(d, d.wg, rtnl.Link{Name: to.Name, Index: d.index}, b.Secrets)
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
	return d.changeRoutes(have.Routes, to.Routes)
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
		if err := d.wg.ConfigureDevice(d.Name, cfg); err != nil {
			return fmt.Errorf("configuring device: %w", err)
		}
	}
	r := rtnl.SetLink{Name: d.Name}
	if from.Alias != to.Alias {
		r.Alias = &to.Alias
	}
	if from.MTU != to.MTU {
		r.MTU = to.MTU
	}
	if from.Up != to.Up {
		r.Up = &to.Up
	}
	if r == (rtnl.SetLink{Name: d.Name}) {
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
