package resolver_test

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/vpnctl/vpnctl/internal/dbustest"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
)

const (
	resolve1    = "org.freedesktop.resolve1"
	managerPath = dbus.ObjectPath("/org/freedesktop/resolve1")
)

// fakeResolved is systemd-resolved as far as links go.
type fakeResolved struct {
	mu    sync.Mutex
	conn  *dbus.Conn
	links map[int32]*fakeLink
	// refused are the methods that fail, and how.
	refused map[string]*dbus.Error
}

type fakeLink struct {
	dns     []fakeServer
	domains []fakeDomain
	route   bool // DefaultRoute
}

type fakeServer struct {
	Family  int32
	Address []byte
}

type fakeDomain struct {
	Name      string
	RouteOnly bool
}

// startResolved puts resolved on a bus of its own, with links that have nothing set.
func startResolved(t *testing.T, indexes ...int32) *fakeResolved {
	t.Helper()
	dbustest.Start(t)
	f := &fakeResolved{conn: dbustest.Own(t, resolve1), links: map[int32]*fakeLink{}, refused: map[string]*dbus.Error{}}
	if err := f.conn.Export(f, managerPath, resolve1+".Manager"); err != nil {
		t.Fatal(err)
	}
	for _, i := range indexes {
		f.links[i] = &fakeLink{}
		methods := map[string]any{"GetAll": func(iface string) (map[string]dbus.Variant, *dbus.Error) {
			return f.properties(i, iface)
		}}
		if err := f.conn.ExportMethodTable(methods, linkPath(i), "org.freedesktop.DBus.Properties"); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func linkPath(index int32) dbus.ObjectPath {
	return managerPath + dbus.ObjectPath(fmt.Sprintf("/link/_3%d", index))
}

// removeLink deletes a link, as the kernel does.
func (f *fakeResolved) removeLink(index int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.links, index)
}

// refuse has a method fail.
func (f *fakeResolved) refuse(method string, err *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[method] = err
}

// change does one write to a link.
func (f *fakeResolved) change(method string, index int32, do func(l *fakeLink)) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refused[method]; err != nil {
		return err
	}
	l, err := f.link(index)
	if err == nil {
		do(l)
	}
	return err
}

func (f *fakeResolved) link(index int32) (*fakeLink, *dbus.Error) {
	if index <= 0 {
		return nil, dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"Invalid interface index"})
	}
	l, ok := f.links[index]
	if !ok {
		return nil, dbus.NewError(resolve1+".NoSuchLink", []any{fmt.Sprintf("Link %d not known", index)})
	}
	return l, nil
}

// SetLinkDNS is resolved's method, and so are those that follow.
func (f *fakeResolved) SetLinkDNS(index int32, dns []fakeServer) *dbus.Error {
	return f.change("SetLinkDNS", index, func(l *fakeLink) { l.dns = dns })
}

func (f *fakeResolved) SetLinkDomains(index int32, domains []fakeDomain) *dbus.Error {
	return f.change("SetLinkDomains", index, func(l *fakeLink) { l.domains = domains })
}

func (f *fakeResolved) SetLinkDefaultRoute(index int32, on bool) *dbus.Error {
	return f.change("SetLinkDefaultRoute", index, func(l *fakeLink) { l.route = on })
}

func (f *fakeResolved) RevertLink(index int32) *dbus.Error {
	return f.change("RevertLink", index, func(l *fakeLink) { *l = fakeLink{} })
}

func (f *fakeResolved) GetLink(index int32) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.link(index)
	return linkPath(index), err
}

func (f *fakeResolved) properties(index int32, iface string) (map[string]dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, err := f.link(index)
	if err != nil || iface != resolve1+".Link" {
		return nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownObject", []any{"Unknown object"})
	}
	return map[string]dbus.Variant{
		"DNS": dbus.MakeVariant(l.dns), "Domains": dbus.MakeVariant(l.domains), "DefaultRoute": dbus.MakeVariant(l.route),
	}, nil
}

// String is what resolvectl(1) tells of the links that have anything set.
func (f *fakeResolved) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, index := range slices.Sorted(maps.Keys(f.links)) {
		l := f.links[index]
		if len(l.dns)+len(l.domains) == 0 && !l.route {
			continue
		}
		fmt.Fprintf(&b, "Link %d\n", index)
		for _, s := range l.dns {
			if (s.Family == 2) != (len(s.Address) == 4) {
				fmt.Fprintf(&b, "!! family %d\n", s.Family)
			}
			fmt.Fprintf(&b, "  DNS Server: %s\n", net.IP(s.Address))
		}
		for _, d := range l.domains {
			tilde := ""
			if d.RouteOnly {
				tilde = "~"
			}
			fmt.Fprintf(&b, "  DNS Domain: %s%s\n", tilde, d.Name)
		}
		fmt.Fprintf(&b, "  Default Route: %t\n", l.route)
	}
	return b.String()
}

// fakeResolvconf is the program resolvconf, as seen of openresolv 3.12 or, where debian
// is set, of Debian's resolvconf 1.91.
type fakeResolvconf struct {
	debian    bool
	records   map[string]string
	exclusive map[string]bool
}

// program is what a hosttest.Runner runs.
func (f *fakeResolvconf) program(c host.Cmd) ([]byte, error) {
	if f.records == nil {
		f.records, f.exclusive = map[string]string{}, map[string]bool{}
	}
	args := strings.Join(c.Args[1:], " ")
	switch {
	case c.Args[1] == "-l":
		return f.list(c)
	case c.Args[1] == "-a":
		key := c.Args[2]
		if rest := strings.TrimPrefix(args, "-a "+key); rest != " -m 0 -x" && rest != " -m 0" {
			return nil, hosttest.Exit(c, 1, "usage")
		}
		f.records[key] = string(c.Stdin)
		f.exclusive[key] = strings.HasSuffix(args, " -x")
		return nil, nil
	case c.Args[1] == "-d" && args == "-d "+c.Args[2]+" -f":
		delete(f.records, c.Args[2])
		return nil, nil
	}
	return nil, hosttest.Exit(c, 1, "usage")
}

func (f *fakeResolvconf) list(c host.Cmd) ([]byte, error) {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(f.records)) {
		if f.debian || len(c.Args) == 2 || c.Args[2] == key {
			fmt.Fprintf(&b, "# resolv.conf from %s\n%s\n", key, f.records[key])
		}
	}
	if !f.debian && b.Len() == 0 {
		return nil, hosttest.Exit(c, 2, strings.TrimSpace("No resolv.conf for interface "+strings.Join(c.Args[2:], " ")))
	}
	return []byte(b.String()), nil
}

// String is every record.
func (f *fakeResolvconf) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(f.records)) {
		fmt.Fprintf(&b, "# resolv.conf from %s, exclusive %t\n%s", key, f.exclusive[key], f.records[key])
	}
	return b.String()
}
