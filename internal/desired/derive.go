package desired

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// Source is where Derive has the node's secrets from.
type Source interface {
	// Value reads what ref refers to. A source that shows nothing answers
	// secret.ErrMasked: the secret is taken to be there and to be right.
	Value(ref *secret.Ref) (secret.Value, error)
	// ID names a value that ref refers to, the zero Value where it is masked. Equal
	// values have equal ids.
	ID(ref *secret.Ref, v secret.Value) secret.ID
}

// Masked is the Source of those who look at a topology without its secrets. It reads
// nothing, so that any node can be derived on any host.
var Masked Source = masked{}

type masked struct{}

func (masked) Value(*secret.Ref) (secret.Value, error)    { return secret.Value{}, secret.ErrMasked }
func (masked) ID(_ *secret.Ref, _ secret.Value) secret.ID { return "(secret)" }

// Derive computes what one node of a valid topology shall hold. A node that has no part
// in anything holds nothing. The errors are those that only the node itself can find, in
// secrets; all come at once, as source.Errors.
func Derive(t *topology.Topology, node string, src Source) (*State, error) {
	if t.Node(node) == nil {
		return nil, fmt.Errorf("deriving node %s: %s has no such node", node, t.File)
	}
	d := &deriver{Topology: t, node: node, src: src, keys: map[*secret.Ref]readKey{}, secrets: map[*secret.Ref]readSecret{}}
	s := &State{Site: t.Site, Node: node}
	networks := d.networks()
	for i := range networks {
		s.Interfaces = append(s.Interfaces, d.wireguard(&networks[i]))
	}
	var tunnels []tunnel
	s.IPsec, tunnels = d.ipsec()
	parts := d.pppParts()
	s.PPP = d.ppp(parts)
	s.Netfilter = d.netfilter(networks, s.Interfaces, tunnels, parts)
	s.Sysctl = sysctl(s.Interfaces, &s.Netfilter, tunnels)
	s.Modules = pppModules(&s.PPP, &s.Netfilter)
	s.Files = files(s)
	if err := d.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// deriver is one run of Derive.
type deriver struct {
	*topology.Topology
	node string
	src  Source
	keys map[*secret.Ref]readKey
	errs source.Errors
	// secrets are those of IPsec and PPP.
	secrets map[*secret.Ref]readSecret
}

func (d *deriver) errorf(pos source.Pos, format string, args ...any) {
	d.errs = append(d.errs, &source.Error{Pos: pos, Err: fmt.Errorf(format, args...)})
}

func (d *deriver) err() error {
	d.errs.Sort()
	return d.errs.Err()
}

// object is the path of a rule of the packet filter.
func (d *deriver) object(kind, what string) string { return "nat/" + d.node + "/" + kind + "/" + what }

// protocols gives routes and rules of protocol 118 a name in what ip(8) prints.
var protocols = File{
	Path: "/etc/iproute2/rt_protos.d/vpnctl.conf",
	Data: []byte("# Written by vpnctl; changes are overwritten.\n118\tvpnctl\n"),
	Mode: 0o644,
}

func files(s *State) []File {
	routes := len(s.Interfaces) + len(s.IPsec.Links) + len(s.IPsec.Routes)
	for i := range s.PPP.Links {
		if l := &s.PPP.Links[i]; len(l.Routes) > 0 || l.DefaultRoute {
			routes++
		}
	}
	for i := range s.PPP.Servers {
		routes += len(s.PPP.Servers[i].Networks)
	}
	if routes == 0 {
		return nil
	}
	return []File{protocols}
}

// firewall reports whether the node's own packet filter shall be opened.
func (d *deriver) firewall() bool {
	return slices.ContainsFunc(d.Firewall, func(f topology.Firewall) bool { return f.Node == d.node && f.OpenPorts })
}

// compareMasquerades puts the narrower source first, for the first rule that fits is the
// one that counts, and a named interface before the one that happens to have the default
// route.
func compareMasquerades(a, b Masquerade) int {
	return cmp.Or(cmp.Compare(b.Source.Bits(), a.Source.Bits()), a.Source.Addr().Compare(b.Source.Addr()),
		cmp.Compare(isAuto(a.Out), isAuto(b.Out)), cmp.Compare(a.Out, b.Out), a.SNAT.Compare(b.SNAT))
}

func isAuto(out string) int {
	if out == OutAuto {
		return 1
	}
	return 0
}
