package topology

import "net/netip"

// Selector is a traffic selector as swanctl.conf(5) writes it: a prefix, a
// range, or the end's own address, of one protocol and port or of all.
type Selector struct {
	// Dynamic stands for the end's own or virtual address.
	Dynamic bool
	// Prefix is not valid for a dynamic selector and for a range.
	Prefix netip.Prefix
	Range  Range
	// Protocol is a name or number, empty for all.
	Protocol string
	// Port is a number, a range A-B, or "opaque"; empty for all.
	Port string
}

// String returns the selector in strongSwan's words.
func (s Selector) String() string {
	text := "dynamic"
	switch {
	case s.Prefix.IsValid():
		text = s.Prefix.String()
	case s.Range.From.IsValid():
		text = s.Range.String()
	}
	switch {
	case s.Protocol == "" && s.Port == "":
		return text
	case s.Port == "":
		return text + "[" + s.Protocol + "]"
	}
	return text + "[" + s.Protocol + "/" + s.Port + "]"
}
