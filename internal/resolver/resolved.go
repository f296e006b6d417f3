package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Names of org.freedesktop.resolve1(5).
const (
	resolvedName    = "org.freedesktop.resolve1"
	resolvedPath    = dbus.ObjectPath("/org/freedesktop/resolve1")
	resolvedManager = resolvedName + ".Manager"
	resolvedLink    = resolvedName + ".Link"
)

// resolved is systemd-resolved.
type resolved struct {
	conn    *dbus.Conn
	manager dbus.BusObject
}

// linkServer and linkDomain are the elements of the properties DNS and Domains. A domain
// for routing only tells which names go to this link, and is no search domain.
type (
	linkServer struct {
		Family  int32
		Address []byte
	}
	linkDomain struct {
		Name      string
		RouteOnly bool
	}
)

// allNames is the routing domain of all names, "~." in resolvectl(1).
var allNames = linkDomain{Name: ".", RouteOnly: true}

// findResolved connects to systemd-resolved, false where it does not run. It is not
// started: on a host where it is only installed, nobody asks it.
func findResolved(ctx context.Context) (*resolved, bool) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, false
	}
	var running bool
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, resolvedName).Store(&running)
	if err != nil || !running {
		_ = conn.Close()
		return nil, false
	}
	return &resolved{conn: conn, manager: conn.Object(resolvedName, resolvedPath)}, true
}

func (r *resolved) close() error { return r.conn.Close() }

func (r *resolved) get(ctx context.Context, _ string, index int) (Config, error) {
	if index <= 0 {
		return Config{}, nil
	}
	props, err := r.properties(ctx, index)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, err
	}
	var servers []linkServer
	if err := props["DNS"].Store(&servers); err != nil {
		return Config{}, fmt.Errorf("decoding servers: %w", err)
	}
	var domains []linkDomain
	if err := props["Domains"].Store(&domains); err != nil {
		return Config{}, fmt.Errorf("decoding domains: %w", err)
	}
	return fromLink(servers, domains)
}

// properties reads all of a link at once.
func (r *resolved) properties(ctx context.Context, index int) (map[string]dbus.Variant, error) {
	var path dbus.ObjectPath
	err := r.manager.CallWithContext(ctx, resolvedManager+".GetLink", 0, int32(index)).Store(&path)
	if err != nil {
		return nil, sentinel(err)
	}
	var props map[string]dbus.Variant
	err = r.conn.Object(resolvedName, path).
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, resolvedLink).Store(&props)
	return props, sentinel(err)
}

func (r *resolved) set(ctx context.Context, _ string, index int, c Config) error {
	servers, domains := toLink(c)
	if err := r.call(ctx, "SetLinkDNS", index, servers); err != nil {
		return err
	}
	if err := r.call(ctx, "SetLinkDomains", index, domains); err != nil {
		return err
	}
	return r.call(ctx, "SetLinkDefaultRoute", index, len(servers) > 0)
}

func (r *resolved) remove(ctx context.Context, _ string, index int) error {
	if index <= 0 {
		return nil // a link without index is gone, and its settings with it
	}
	return r.call(ctx, "RevertLink", index)
}

func (r *resolved) call(ctx context.Context, method string, index int, args ...any) error {
	args = append([]any{int32(index)}, args...)
	return sentinel(r.manager.CallWithContext(ctx, resolvedManager+"."+method, 0, args...).Err)
}

// toLink translates for resolved. Servers get all names, as `resolvconf -x` has it;
// without servers, the names would go nowhere.
func toLink(c Config) ([]linkServer, []linkDomain) {
	servers := make([]linkServer, len(c.Servers))
	for i, s := range c.Servers {
		servers[i] = linkServer{unix.AF_INET6, s.AsSlice()}
		if s.Is4() {
			servers[i].Family = unix.AF_INET
		}
	}
	domains := make([]linkDomain, len(c.Search), len(c.Search)+1)
	for i, name := range c.Search {
		domains[i] = linkDomain{Name: name}
	}
	if len(servers) > 0 {
		domains = append(domains, allNames)
	}
	return servers, domains
}

// fromLink is the inverse of toLink. Servers that do not get all names are not what we
// set, and are left out so that they are set again.
func fromLink(servers []linkServer, domains []linkDomain) (Config, error) {
	var c Config
	all := false
	for _, d := range domains {
		if d == allNames {
			all = true
		} else if !d.RouteOnly {
			c.Search = append(c.Search, d.Name)
		}
	}
	for _, s := range servers {
		addr, ok := netip.AddrFromSlice(s.Address)
		if !ok {
			return Config{}, fmt.Errorf("DNS server of %d bytes: %w", len(s.Address), fs.ErrInvalid)
		}
		if all {
			c.Servers = append(c.Servers, addr)
		}
	}
	return c, nil
}

// sentinel makes a link that is gone fs.ErrNotExist.
func sentinel(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Name {
	case resolvedName + ".NoSuchLink", "org.freedesktop.DBus.Error.UnknownObject":
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
