// Package resolver tells the host's DNS resolver which servers an interface brings, by
// systemd-resolved or else by the resolvconf program, as wg-quick(8) does.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/vpnctl/vpnctl/internal/host"
)

// Config is the DNS of one interface. The zero Config is none.
type Config struct {
	// Servers are asked for every name, in this order, and before those of other
	// interfaces.
	Servers []netip.Addr
	// Search are the domains that short names are looked up in.
	Search []string
}

// IsZero reports whether there is nothing in it.
func (c Config) IsZero() bool { return len(c.Servers) == 0 && len(c.Search) == 0 }

// Equal reports whether two resolvers would do the same.
func (c Config) Equal(d Config) bool {
	return slices.Equal(c.Servers, d.Servers) && slices.Equal(c.Search, d.Search)
}

// check refuses what would come out as another line or word of resolv.conf(5).
func (c Config) check() error {
	for _, s := range c.Servers {
		if !s.IsValid() || s.Zone() != "" {
			return fmt.Errorf("DNS server %s: %w", s, fs.ErrInvalid)
		}
	}
	for _, d := range c.Search {
		if d == "" || strings.ContainsFunc(d, breaks) {
			return fmt.Errorf("search domain %q: %w", d, fs.ErrInvalid)
		}
	}
	return nil
}

// breaks reports what ends a word, or what a reader may take for a quote.
func breaks(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r == '"' || r == '\''
}

// Resolver is the host's.
type Resolver struct {
	via mechanism
}

// mechanism is one way to do it.
type mechanism interface {
	get(ctx context.Context, iface string, index int) (Config, error)
	set(ctx context.Context, iface string, index int, c Config) error
	remove(ctx context.Context, iface string, index int) error
	close() error
}

// Detect finds out what the host has; a host with neither is errors.ErrUnsupported. The
// caller closes the Resolver.
func Detect(ctx context.Context, run host.Runner, files host.Files) (*Resolver, error) {
	if r, ok := findResolved(ctx); ok {
		return &Resolver{via: r}, nil
	}
	r := &resolvconf{run: run, files: files}
	if err := r.probe(ctx); err != nil {
		return nil, fmt.Errorf("finding a resolver: %w", err)
	}
	return &Resolver{via: r}, nil
}

// Close ends the connection to the resolver.
func (r *Resolver) Close() error { return r.via.close() }

// Get returns what is set for an interface, nothing where the interface is gone.
func (r *Resolver) Get(ctx context.Context, iface string, index int) (Config, error) {
	c, err := r.via.get(ctx, iface, index)
	if err != nil {
		return Config{}, fmt.Errorf("reading DNS of %s: %w", iface, err)
	}
	return c, nil
}

// Set replaces what is set for an interface; the zero Config removes it, and then an
// interface that is gone is success.
func (r *Resolver) Set(ctx context.Context, iface string, index int, c Config) error {
	if c.IsZero() {
		if err := r.via.remove(ctx, iface, index); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing DNS of %s: %w", iface, err)
		}
		return nil
	}
	err := c.check()
	if err == nil {
		err = r.via.set(ctx, iface, index, c)
	}
	if err != nil {
		return fmt.Errorf("setting DNS of %s: %w", iface, err)
	}
	return nil
}
