package wireguard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// Status implements backend.Backend: one row a wanted peer. Foreign interfaces are their
// owners' matter.
func (b *Backend) Status(ctx context.Context, in backend.Input) ([]backend.Tunnel, error) {
	if len(in.Want.Interfaces) == 0 {
		return nil, nil
	}
	in.Options = backend.Options{} // what would be adopted is not ours yet
	h, err := b.observe(ctx, in)
	if err != nil {
		return nil, err
	}
	var rows []backend.Tunnel
	for i := range in.Want.Interfaces {
		want := &in.Want.Interfaces[i]
		have := h.find(place{want.Name, want.Netns})
		for j := range want.Peers {
			rows = append(rows, b.row(want, &want.Peers[j], have, in.AppliedAt))
		}
	}
	return rows, nil
}

// patience is how long a peer that is dialled may take before it counts as down.
const patience = 30 * time.Second

func (b *Backend) row(i *desired.Interface, p *desired.Peer, have *observed, applied time.Time) backend.Tunnel {
	t := backend.Tunnel{
		Protocol: backend.WireGuard, Name: i.Name, Peer: p.Name, Interface: i.Name,
		Addresses: backend.FormatAddrs(p.AllowedIPs), Endpoint: endpointText(p.Endpoint),
	}
	if have == nil {
		t.State, t.Reason = backend.Down, "interface "+i.Name+" is missing"
		return t
	}
	t.Backend = "kernel"
	if have.Userspace {
		t.Backend = "userspace"
	}
	at, ok := have.peers[publicKey(p.PublicKey)]
	switch {
	case !have.Up:
		t.State, t.Reason = backend.Down, "interface "+i.Name+" is down"
	case !ok:
		t.State, t.Reason = backend.Down, "the peer is missing on interface "+i.Name
	default:
		b.live(&t, p, &have.Peers[at], have.live[at])
		b.connecting(&t, applied)
	}
	return t
}

// live fills in what a peer's own state tells.
func (b *Backend) live(t *backend.Tunnel, want *desired.Peer, have *peer, live liveness) {
	rx, tx := uint64(live.rx), uint64(live.tx)
	t.RxBytes, t.TxBytes, t.LastHandshake = &rx, &tx, live.handshake
	if have.Endpoint.IsValid() {
		t.Remote = have.Endpoint.String()
	}
	age := b.Now().Sub(live.handshake)
	switch {
	case !live.handshake.IsZero() && age < backend.HandshakeLifetime:
		t.State = backend.Up
	case want.PersistentKeepalive == 0 || want.Endpoint.IsZero():
		t.State = backend.Idle // nobody here keeps it up
	default:
		t.State, t.Reason = backend.Down, downReason(want.Endpoint, have, live, age)
	}
}

// connecting tells a first attempt, since the apply or since the last handshake became
// too old, from a failure.
func (b *Backend) connecting(t *backend.Tunnel, applied time.Time) {
	since := applied
	if lost := t.LastHandshake.Add(backend.HandshakeLifetime); !t.LastHandshake.IsZero() && lost.After(since) {
		since = lost
	}
	if t.State == backend.Down && t.Remote != "" && b.Now().Sub(since) < patience {
		t.State = backend.Connecting
	}
}

// downReason says why a peer that is kept up is not.
func downReason(e desired.Endpoint, have *peer, live liveness, age time.Duration) string {
	switch _, err := netip.ParseAddr(e.Host); {
	case err != nil && !have.Endpoint.IsValid():
		return "name " + e.Host + " does not resolve"
	case live.handshake.IsZero():
		return "no handshake yet"
	}
	return "last handshake " + ageText(age) + " ago"
}

// ageText is an age in its largest unit.
func ageText(age time.Duration) string {
	switch {
	case age < time.Minute:
		return fmt.Sprintf("%ds", age/time.Second)
	case age < time.Hour:
		return fmt.Sprintf("%dm", age/time.Minute)
	case age < 48*time.Hour:
		return fmt.Sprintf("%dh", age/time.Hour)
	}
	return fmt.Sprintf("%dd", age/(24*time.Hour))
}

// endpointText is an endpoint as the topology writes it.
func endpointText(e desired.Endpoint) string {
	if e.IsZero() {
		return ""
	}
	if a, err := netip.ParseAddr(e.Host); err == nil && a.Is6() {
		return fmt.Sprintf("[%s]:%d", e.Host, e.Port)
	}
	return fmt.Sprintf("%s:%d", e.Host, e.Port)
}
