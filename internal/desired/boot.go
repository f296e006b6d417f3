package desired

// NeedsBoot reports whether a reboot would take anything away.
func (s *State) NeedsBoot() bool {
	return len(s.Interfaces) > 0 || !s.IPsec.IsZero() || !s.PPP.IsZero() || s.NeedsGuard()
}

// NeedsGuard reports whether something has to stand before there is a network: a rule of
// the packet filter, or a setting of the kernel.
func (s *State) NeedsGuard() bool { return !s.Netfilter.IsZero() || len(s.Sysctl) > 0 }
