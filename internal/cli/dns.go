package cli

import (
	"context"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/resolver"
	"github.com/vpnctl/vpnctl/internal/wireguard"
)

// dns gives WireGuard interfaces the host's resolver. It looks for one only when it is
// asked: most topologies set no DNS, and finding out costs a call or a fork.
type dns struct{}

var _ wireguard.Resolver = dns{}

// Get implements wireguard.Resolver.
func (dns) Get(ctx context.Context, iface string, index int) (resolver.Config, error) {
	r, err := resolver.Detect(ctx, host.System{}, host.Disk{})
	if err != nil {
		return resolver.Config{}, err
	}
	defer func() { _ = r.Close() }()
	return r.Get(ctx, iface, index)
}

// Set implements wireguard.Resolver.
func (dns) Set(ctx context.Context, iface string, index int, c resolver.Config) error {
	r, err := resolver.Detect(ctx, host.System{}, host.Disk{})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return r.Set(ctx, iface, index, c)
}
