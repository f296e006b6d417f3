package desired

import "slices"

// Through returns the rules of a node on which charon encrypts itself: what a policy of the
// kernel protects elsewhere leaves by a link there, and comes in by it. A link of "" is
// none, and changes nothing.
func (n *Netfilter) Through(link string) *Netfilter {
	if link == "" {
		return n
	}
	out := *n
	out.Link = link
	out.Guards = slices.Clone(n.Guards)
	for i := range out.Guards {
		if out.Guards[i].Interface == "" {
			out.Guards[i].Interface = link
		}
	}
	out.Forwards = slices.Clone(n.Forwards)
	for i := range out.Forwards {
		f := &out.Forwards[i]
		switch f.IPsec {
		case "out":
			f.Out, f.IPsec = link, ""
		case "in":
			f.In, f.IPsec = link, ""
		}
	}
	out.Clamps = slices.Clone(n.Clamps)
	for i := range out.Clamps {
		if c := &out.Clamps[i]; c.Interface == "" {
			c.Interface, c.MSS = link, 0 // a link has an MTU to clamp to
		}
	}
	if len(n.InnerIPsec) > 0 {
		out.InnerIPsec = nil
		out.Inner = append(slices.Clone(n.Inner), link)
	}
	return &out
}
