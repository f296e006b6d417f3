package topology

import (
	"slices"
	"strings"
)

// Parse reads and checks a topology. The error is a list, source.Errors, of
// everything that is wrong with the file, in the file's order; warnings come
// with or without one. name is what messages call the file.
func Parse(name string, src []byte) (*Topology, []Warning, error) {
	return (&reader{file: name}).parse(src)
}

// ParseDraft is Parse for a file whose WireGuard members may still lack their
// public keys: what keygen starts from.
func ParseDraft(name string, src []byte) (*Topology, []Warning, error) {
	return (&reader{file: name, draft: true}).parse(src)
}

func (r *reader) parse(src []byte) (*Topology, []Warning, error) {
	t := &Topology{File: r.file}
	if root, err := readYAML(r.file, src); err != nil {
		r.errs = append(r.errs, err)
	} else {
		r.topology(t, &value{reader: r, node: root})
	}
	r.errs.Sort()
	slices.SortStableFunc(r.warns, func(a, b Warning) int {
		switch {
		case a.Pos.Before(b.Pos):
			return -1
		case b.Pos.Before(a.Pos):
			return 1
		}
		return 0
	})
	if err := r.errs.Err(); err != nil {
		return nil, r.warns, err
	}
	return t, r.warns, nil
}

var topologyFields = fields[Topology]{
	"version":   func(t *Topology, v *value) { v.version(&t.Version) },
	"site":      func(t *Topology, v *value) { v.nameOf(&t.Site, siteNames) },
	"nodes":     func(t *Topology, v *value) { t.Nodes = named(v, nodeNames, readNode) },
	"wireguard": func(t *Topology, v *value) { t.WireGuard = named(v, interfaceNames, readNetwork) },
	"ipsec":     func(t *Topology, v *value) { t.IPsec = named(v, connectionNames, readConnection) },
	"l2tp":      func(t *Topology, v *value) { t.L2TP = named(v, serverNames, readL2TP) },
	"pptp":      func(t *Topology, v *value) { t.PPTP = named(v, serverNames, readPPTP) },
	"nat":       func(t *Topology, v *value) { t.NAT = readNAT(v) },
	"firewall":  func(t *Topology, v *value) { t.Firewall = named(v, nodeNames, readFirewall) },
}

func (r *reader) topology(t *Topology, root *value) {
	if !root.plain() {
		return
	}
	decode(root, topologyFields, t)
	root.require("version", "this is version: 1")
	root.require("site", "the name of what this file describes")
	root.require("nodes", "the machines that run vpnctl")
	if root.bad {
		return
	}
	sortByName(t)
	t.fill()
	t.HasInlineSecrets = len(r.secrets) > 0
	(&checker{reader: r, t: t, root: root.node}).run()
}

func (v *value) version(into *int) {
	if n, ok := v.text(); ok && n != "1" {
		v.fail("%q is not allowed: this vpnctl reads version 1", shorten(n))
		return
	}
	*into = 1
}

// sortByName orders what the file gives as mappings: their order means nothing.
func sortByName(t *Topology) {
	slices.SortFunc(t.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.WireGuard, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.IPsec, func(a, b Connection) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.L2TP, func(a, b L2TP) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.PPTP, func(a, b PPTP) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(t.NAT, func(a, b NATRule) int { return strings.Compare(a.Node, b.Node) })
	slices.SortFunc(t.Firewall, func(a, b Firewall) int { return strings.Compare(a.Node, b.Node) })
}
