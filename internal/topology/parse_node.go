package topology

var nodeFields = fields[Node]{
	"hostname":  func(n *Node, v *value) { v.nameOf(&n.Hostname, domainNames) },
	"addresses": func(n *Node, v *value) { n.Addresses = list(v, (*value).host) },
}

func readNode(v *value) Node {
	n := Node{Name: v.name, Pos: v.keyPos()}
	decode(v, nodeFields, &n)
	return n
}

var natFields = fields[NATRule]{
	"source": func(n *NATRule, v *value) { n.Sources = v.prefixes() },
	"out": func(n *NATRule, v *value) {
		n.OutPos = v.pos()
		v.nameOf(&n.Out, interfaceNames)
	},
	"snat": func(n *NATRule, v *value) { n.SNAT, _ = v.addr() },
}

func readNAT(v *value) []NATRule {
	var rules []NATRule
	for node, entry := range v.entries() {
		for item := range entry.items() {
			rule := NATRule{Node: node, Pos: item.pos()}
			decode(item, natFields, &rule)
			item.require("source", "a list of prefixes whose packets are rewritten")
			item.require("out", "the interface through which they leave, or auto")
			rules = append(rules, rule)
		}
		if !nodeNames.legal(node) {
			entry.errorf(entry.keyPos(), "%s", nodeNames.refuse(node))
		}
	}
	return rules
}

var firewallFields = fields[Firewall]{
	"open_ports": func(f *Firewall, v *value) { v.boolean(&f.OpenPorts) },
}

func readFirewall(v *value) Firewall {
	f := Firewall{Node: v.name, Pos: v.keyPos()}
	decode(v, firewallFields, &f)
	return f
}
