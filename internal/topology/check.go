package topology

import (
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// checker finds what is wrong with a topology as a whole: everything that can
// be said without a host, for all nodes.
type checker struct {
	*reader
	t      *Topology
	root   *yaml.Node
	places *places
	// names are those of all nodes.
	names []string

	ports      map[portKey]claim
	interfaces map[interfaceKey]claim
	spans      []span
	resolvers  map[string]*Client // of IPsec: the first of each node
	behind     map[behind]*Client // of PPP
}

// claim is who has something that nobody else can have.
type claim struct {
	what string
	pos  Pos
}

type portKey struct {
	node string
	port uint16
}

type interfaceKey struct{ node, netns, name string }

func (c *checker) run() {
	c.ports, c.interfaces = map[portKey]claim{}, map[interfaceKey]claim{}
	c.checkNodes()
	c.checkNAT()
	// Before the WireGuard ports: theirs are the ones that can be changed.
	c.checkIPsec()
	c.checkPPP()
	for i := range c.t.WireGuard {
		c.checkNetwork(&c.t.WireGuard[i])
	}
	c.checkSpans()
}

func (c *checker) checkNodes() {
	owners := make(map[string]*Node, 2*len(c.t.Nodes))
	for i := range c.t.Nodes {
		c.names = append(c.names, c.t.Nodes[i].Name)
		owners[strings.ToLower(c.t.Nodes[i].Name)] = &c.t.Nodes[i]
	}
	if len(c.names) == 0 && len(c.errs) == 0 {
		n := lookUp(c.root, "nodes")
		c.errorf(Pos{File: c.file, Line: n.Line, Column: n.Column, Path: "nodes"}, "has no node: name at least one machine that runs vpnctl")
	}
	for i := range c.t.Nodes {
		n := &c.t.Nodes[i]
		if n.Hostname == "" {
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(n.Hostname, "."))
		if other := owners[name]; other != nil && other != n {
			c.errorf(c.under(n.Pos, "hostname"), "%q is node %s (line %d) already: a host could not tell which one it is",
				n.Hostname, other.Name, other.Pos.Line)
		}
		owners[name] = n
	}
}

// node returns the node of a name, and refuses one that is none. Where the
// file's nodes could not be read at all, nothing is said.
func (c *checker) node(pos Pos, name string) *Node {
	n := c.t.Node(name)
	if n == nil && name != "" && len(c.names) > 0 {
		c.errorf(pos, "%q is no node of this file%s", shorten(name), c.choice(name, "nodes", c.names))
	}
	return n
}

func (c *checker) checkNAT() {
	type ruleKey struct {
		node, out string
		source    netip.Prefix
	}
	seen := map[ruleKey]Pos{}
	for i := range c.t.NAT {
		r := &c.t.NAT[i]
		if i == 0 || c.t.NAT[i-1].Node != r.Node {
			c.node(r.Pos, r.Node)
		}
		if len(r.Sources) == 0 && c.emptyList(r.Pos, "source") {
			c.errorf(c.under(r.Pos, "source"), "is empty: name the prefixes whose packets are rewritten")
		}
		for _, source := range r.Sources {
			key := ruleKey{r.Node, r.Out, source}
			if first, twice := seen[key]; twice {
				c.errorf(c.under(r.Pos, "source"), "%s leaves through %s by the rule in line %d already", source, r.Out, first.Line)
			}
			seen[key] = r.Pos
			if r.SNAT.IsValid() && r.SNAT.Is4() != source.Addr().Is4() {
				c.errorf(c.under(r.Pos, "snat"), "%s is %s, and the source %s is not", r.SNAT, family(r.SNAT), source)
			}
		}
	}
	for i := range c.t.Firewall {
		c.node(c.t.Firewall[i].Pos, c.t.Firewall[i].Node)
	}
}

// emptyList says whether a key is there and has no items: where it has some,
// they were refused one by one.
func (c *checker) emptyList(pos Pos, key string) bool {
	n := lookUp(c.find(pos), key)
	return n != nil && len(n.Content) == 0 && (n.Kind == yaml.SequenceNode || n.Tag == "!!null")
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// claimPort gives a port of a node to one user of it, who says it under pos.
func (c *checker) claimPort(key portKey, what string, pos Pos, steps ...any) {
	if first, taken := c.ports[key]; taken {
		if first.what != what {
			c.errorf(c.under(pos, steps...), "port %d of node %s is taken by %s (line %d)", key.port, key.node, first.what, first.pos.Line)
		}
		return
	}
	c.ports[key] = claim{what, pos}
}

// reservedInterfaces cannot be made: the kernel has other uses for the names.
var reservedInterfaces = []string{"all", "default", "lo"}

// claimInterface gives the name of an interface to one user of it.
func (c *checker) claimInterface(key interfaceKey, what string, pos Pos) bool {
	if slices.Contains(reservedInterfaces, key.name) {
		c.errorf(pos, "%q cannot be the name of an interface: the kernel keeps it to itself", key.name)
		return false
	}
	if first, taken := c.interfaces[key]; taken {
		c.errorf(pos, "interface %s of node %s is made by %s (line %d)", key.name, key.node, first.what, first.pos.Line)
		return false
	}
	c.interfaces[key] = claim{what, pos}
	return true
}
