package wireguard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/resolver"
)

// namespace is a named network namespace of ours.
type namespace struct {
	Name string `json:"name"`
}

func (b *Backend) applyNamespace(_ context.Context, from, to *namespace) error {
	switch {
	case to != nil:
		return b.Namespaces.Add(to.Name)
	case from != nil:
		return b.Namespaces.Del(from.Name)
	}
	return nil
}

// hookSet is a pair of hooks: it is there once Up has run, and gone once Down has.
type hookSet struct {
	Interface string   `json:"interface"`
	Up        []string `json:"up,omitempty"`
	Down      []string `json:"down,omitempty"`
}

// applyHooks runs the lines of one side. A failed line ends those that follow on the way
// up; on the way down the rest still has to be cleared away.
func (b *Backend) applyHooks(ctx context.Context, from, to *hookSet) error {
	if to != nil {
		for _, line := range to.Up {
			if err := b.hook(ctx, to.Interface, line); err != nil {
				return err
			}
		}
		return nil
	}
	if from == nil {
		return nil
	}
	var errs []error
	for _, line := range from.Down {
		errs = append(errs, b.hook(ctx, from.Interface, line))
	}
	return errors.Join(errs...)
}

func (b *Backend) hook(ctx context.Context, iface, line string) error {
	if _, err := b.Runner.Run(ctx, host.Cmd{Args: []string{"sh", "-c", line}}); err != nil {
		return fmt.Errorf("hook of interface %s: running %q: %w", iface, line, err)
	}
	return nil
}

// dnsSet is what one interface tells the host's resolver.
type dnsSet struct {
	place
	Config resolver.Config `json:"config"`
}

func (b *Backend) applyDNS(ctx context.Context, from, to *dnsSet) error {
	if from == nil && to == nil {
		return nil
	}
	var c resolver.Config
	if to != nil {
		c = to.Config
	}
	return b.onLink(either(from, to).place, to == nil, func(d *device) error {
		if b.Resolver == nil {
			return fmt.Errorf("setting DNS: %w", errors.ErrUnsupported)
		}
		return b.Resolver.Set(ctx, d.link.Name, d.link.Index, c)
	})
}

// observeDNS asks the resolver, where the topology has or had something for it.
func (b *Backend) observeDNS(ctx context.Context, h *snapshot, in backend.Input) error {
	if b.Resolver == nil {
		return nil
	}
	for i := range h.ours {
		o := &h.ours[i]
		before := appliedTo(in.Applied, o.Name).iface
		wanted := appliedTo(in.Want, o.Name).iface
		if !hasDNS(before) && !hasDNS(wanted) {
			continue
		}
		c, err := b.Resolver.Get(ctx, o.Name, o.index)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading DNS of interface %s: %w", o.Name, err)
		}
		o.dns = c
	}
	return nil
}

func hasDNS(i *desired.Interface) bool { return i != nil && len(i.DNS)+len(i.Search) > 0 }
