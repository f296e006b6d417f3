package charontest

// Kernel is what a kernel can do.
type Kernel struct {
	NoESP, NoLinks, NoTun bool
}

// ESP implements ipsec.Kernel.
func (k *Kernel) ESP() bool { return !k.NoESP }

// Links implements ipsec.Kernel.
func (k *Kernel) Links() bool { return !k.NoLinks }

// Tun implements ipsec.Kernel.
func (k *Kernel) Tun() bool { return !k.NoTun }
