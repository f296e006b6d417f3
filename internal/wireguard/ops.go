package wireguard

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// The kinds of operations.
const (
	opLink      = "wireguard.link"
	opSettings  = "wireguard.settings"
	opAddresses = "wireguard.addresses"
	opPeers     = "wireguard.peers"
	opRoutes    = "wireguard.routes"
	opRules     = "wireguard.rules"
	opNamespace = "wireguard.netns"
	opHooks     = "wireguard.hooks"
	opDNS       = "wireguard.dns"
)

// Handlers implements backend.Operator. Every handler leads to its `to` from wherever it
// finds the host: it reads what is there and does what remains.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		opLink:      backend.Handle(b.applyLink),
		opSettings:  backend.Handle(b.applySettings),
		opAddresses: backend.Handle(b.applyAddresses),
		opPeers:     backend.Handle(b.applyPeers),
		opRoutes:    backend.Handle(b.applyRoutes),
		opRules:     backend.Handle(b.applyRules),
		opNamespace: backend.Handle(b.applyNamespace),
		opHooks:     backend.Handle(b.applyHooks),
		opDNS:       backend.Handle(b.applyDNS),
	}
}

// settings is what a link has only one of each.
type settings struct {
	place
	Alias        string    `json:"alias"`
	MTU          int       `json:"mtu,omitempty"`
	Up           bool      `json:"up"`
	PrivateKey   secret.ID `json:"private_key,omitempty"`
	ListenPort   int       `json:"listen_port,omitempty"`
	FirewallMark int       `json:"fwmark,omitempty"`
}

func settingsOf(l *link) settings {
	return settings{l.place, l.Alias, l.MTU, l.Up, l.PrivateKey, l.ListenPort, l.FirewallMark}
}

// The sets below are parts of a link: what is in From and not in To goes, what is in To
// comes, the rest of the link stays. Fresh is a part of a link that the same plan
// creates: it is written without a look at the link, and deleting the link undoes it.

// addressSet is a set of addresses of a link.
type addressSet struct {
	place
	Fresh bool           `json:"fresh,omitempty"`
	List  []netip.Prefix `json:"list"`
	// Routes are there before and after: the kernel takes them along with the link's
	// last IPv4 address.
	Routes []rtnl.Route `json:"routes,omitempty"`
}

// peerSet is a set of peers of a link.
type peerSet struct {
	place
	Fresh bool   `json:"fresh,omitempty"`
	List  []peer `json:"list"`
}

// routeSet is a set of routes through a link.
type routeSet struct {
	place
	Fresh bool         `json:"fresh,omitempty"`
	List  []rtnl.Route `json:"list"`
}

// ruleSet is a set of policy rules of a namespace.
type ruleSet struct {
	Netns string      `json:"netns,omitempty"`
	List  []rtnl.Rule `json:"list"`
}

// undoesFresh reports whether an operation takes back what goes with its link anyway.
func undoesFresh[T any](fresh bool, to *T) bool { return fresh && to == nil }

// parts reads both sides of an operation on a part of a link; of a nil one nothing.
func parts[S, T any](from, to *S, list func(*S) []T) (f, t []T) {
	if from != nil {
		f = list(from)
	}
	if to != nil {
		t = list(to)
	}
	return f, t
}

// either is the side that is there: both are of the same object.
func either[T any](from, to *T) *T {
	if to != nil {
		return to
	}
	return from
}

// device is one link, opened for writing.
type device struct {
	Network
	link  rtnl.Link // as it was when it was opened
	netns string
	wg    Devices // nil until an operation needs it
}

// open opens a link that is there; one that is not is fs.ErrNotExist.
func (b *Backend) open(p place) (*device, error) {
	n, err := b.Network(p.Netns)
	if err != nil {
		return nil, inNetns(p.Netns, err)
	}
	l, err := n.Link(p.Name)
	if err != nil {
		_ = n.Close()
		return nil, inNetns(p.Netns, err)
	}
	return &device{Network: n, link: l, netns: p.Netns}, nil
}

// onLink runs fn on a link. Where the link is not there, there is nothing on it to take
// back.
func (b *Backend) onLink(p place, takingBack bool, fn func(d *device) error) error {
	d, err := b.open(p)
	if takingBack && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return within(p, err)
	}
	defer d.close()
	return within(p, fn(d))
}

// wireguard opens the link's WireGuard part, which not every operation needs.
func (d *device) wireguard(b *Backend) (err error) {
	if d.wg == nil {
		if d.wg, err = b.Devices(d.netns); err != nil {
			return fmt.Errorf("opening WireGuard: %w", err)
		}
	}
	return nil
}

func (d *device) close() {
	_ = d.Close()
	if d.wg != nil {
		_ = d.wg.Close()
	}
}

// raceTries bounds how often a change is computed again because what was read had
// changed by the time it was written.
const raceTries = 3

// raced calls change, which reads and then writes, again where the host changed between
// the two.
func raced(change func() error) error {
	var err error
	for range raceTries {
		if err = change(); !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// within names the link on which something went wrong.
func within(p place, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("interface %s: %w", p.Name, err)
}
