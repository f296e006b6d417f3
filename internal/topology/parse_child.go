package topology

import (
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/proposal"
)

// rawChild is a child that does not know yet which of its proposals count.
type rawChild struct {
	Child
	esp, ah shortList
	// subnets are a child's own, nil where it takes the ends'.
	subnets *value
}

// childFields are what a connection says for all children and each for itself.
var childFields = fields[rawChild]{
	"mode":          func(c *rawChild, v *value) { word(v, &c.Mode, Tunnel, Transport) },
	"protocol":      func(c *rawChild, v *value) { word(v, &c.Protocol, ESP, AH) },
	"esp_proposals": func(c *rawChild, v *value) { c.esp = readShortList(v, proposal.ESP) },
	"ah_proposals":  func(c *rawChild, v *value) { c.ah = readShortList(v, proposal.AH) },
	"child_rekey":   func(c *rawChild, v *value) { v.optionalDuration(&c.Rekey) },
	"start_action": func(c *rawChild, v *value) {
		c.StartActionSet = true
		word(v, &c.StartAction, StartNone, StartTrap, StartStart)
	},
}

// ownChildFields are those of one child alone.
var ownChildFields = extend(childFields, fields[rawChild]{
	"subnets": func(c *rawChild, v *value) { c.subnets = v },
	"dpd":     func(c *rawChild, v *value) { decode(v, fields[rawChild]{"action": readDPDAction}, c) },
})

func readDPDAction(c *rawChild, v *value) { word(v, &c.DPDAction, DPDClear, DPDTrap, DPDRestart) }

// readChildren reads the children, or makes the one of the connection's name.
func (c *rawConnection) readChildren(v *value) {
	var raws []rawChild
	if c.children != nil {
		raws = named(c.children, childNames, c.readChild)
		if len(raws) == 0 && !c.children.bad && len(c.children.node.Content) == 0 {
			c.children.fail("is empty; leave the key out for one child of the connection's name")
		}
	} else {
		only := c.base
		only.Name, only.Pos = v.name, v.keyPos()
		raws = []rawChild{only}
	}
	used := map[*value]bool{}
	for i := range raws {
		raw := &raws[i]
		list := raw.esp
		if raw.Protocol == AH {
			list = raw.ah
		}
		used[list.at] = true
		raw.Proposals = list.words
		raw.Subnets = c.childSubnets(raw)
	}
	for i := range raws {
		raws[i].refuseUnused(used)
		c.Children = append(c.Children, raws[i].Child)
	}
	c.base.refuseUnused(used)
	slices.SortFunc(c.Children, func(a, b Child) int { return strings.Compare(a.Name, b.Name) })
}

// refuseUnused refuses proposals for a protocol that no child uses; somebody
// believes that they count.
func (c *rawChild) refuseUnused(used map[*value]bool) {
	for _, list := range []struct {
		shortList
		protocol, cure string
	}{
		{c.esp, "ah", "use ah_proposals"},
		{c.ah, "esp", "use esp_proposals, or protocol: ah"},
	} {
		if list.at != nil && !used[list.at] {
			used[list.at] = true
			list.at.errorf(list.at.spelledPos(), "has no effect with protocol: %s; %s", list.protocol, list.cure)
		}
	}
}

// readChild reads one child on top of what the connection says.
func (c *rawConnection) readChild(v *value) rawChild {
	child := c.base
	child.Name, child.Pos, child.Settings = v.name, v.keyPos(), nil
	v.decodeWithSettings(decoder(ownChildFields, &child), func(entry *value) bool {
		return entry.setting(&child.Settings, childSettings, childWords)
	}, settingNames(childSettings))
	child.Settings = mergeSettings(child.Settings, c.base.Settings)
	return child
}

// childSubnets returns a child's selectors at each end: its own where it says
// them, else the end's. Of a server there is the one list.
func (c *rawConnection) childSubnets(child *rawChild) []EndSubnets {
	if c.Server != nil {
		own := c.Server.Subnets
		if child.subnets != nil {
			own = child.subnets.selectors()
		}
		return []EndSubnets{{End: c.Server.Node, Selectors: own}}
	}
	all := make([]EndSubnets, len(c.Ends))
	names := make([]string, len(c.Ends))
	for i, end := range c.Ends {
		all[i], names[i] = EndSubnets{End: end.Name, Selectors: end.Subnets}, end.Name
	}
	if child.subnets == nil {
		return all
	}
	for name, entry := range child.subnets.entries() {
		if i := slices.Index(names, name); i >= 0 {
			all[i].Selectors = entry.selectors()
		} else if c.ends != nil {
			entry.errorf(entry.keyPos(), "is no end of this connection%s", entry.choice(name, "ends", names))
		}
	}
	return all
}
