package sysctl_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/sysctl"
)

// kernelWorld is a world on the real kernel. It works inside of lab.Host.Do only.
func kernelWorld() *world {
	w := &world{print: snapshot}
	w.use(sysctl.Config{})
	return w
}

// snapshot is every setting of every interface, and our file.
func snapshot() string {
	var b strings.Builder
	s := host.Proc{}
	show := func(key string) {
		// Some may only be read once set (stable_secret).
		if v, err := s.Get(key); err == nil {
			fmt.Fprintf(&b, "%s = %s\n", key, v)
		}
	}
	show(forward4)
	for _, folder := range []string{"net/ipv4/conf", "net/ipv6/conf"} {
		ifaces, err := s.List(folder)
		if err != nil {
			return err.Error()
		}
		for _, iface := range ifaces {
			names, err := s.List(folder + "/" + iface)
			if err != nil {
				return err.Error()
			}
			for _, name := range names {
				show(folder + "/" + iface + "/" + name)
			}
		}
	}
	data, err := os.ReadFile(path)
	fmt.Fprintf(&b, "%s%v\n", data, err)
	return b.String()
}

// changed lists the keys whose lines differ.
func changed(before, after string) []string {
	old := strings.Split(before, "\n")
	var out []string
	for line := range strings.Lines(after) {
		line = strings.TrimSuffix(line, "\n")
		if key, _, ok := strings.Cut(line, " = "); ok && !slices.Contains(old, line) {
			out = append(out, key)
		}
	}
	return out
}

// equal is an error where two states differ.
func equal(what, want, got string) error {
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, diff)
	}
	return nil
}

// run calls fn on a thread in a lab host.
func run(t *testing.T, h *lab.Host, fn func() error) {
	t.Helper()
	if err := h.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// TestKernelEffects holds what this package believes of the kernel: which keys change along
// with forwarding. One more would be one that is lost.
func TestKernelEffects(t *testing.T) {
	l := lab.Start(t, lab.Wire("gw:eth0 10.1.0.1/24", "pc:eth0 10.1.0.2/24"))
	for key, want := range map[string][]string{
		forward4: {
			forward4, redirects, "net/ipv4/conf/all/forwarding", "net/ipv4/conf/default/forwarding",
			"net/ipv4/conf/eth0/forwarding", "net/ipv4/conf/lo/forwarding",
		},
		forward6: {
			forward6, "net/ipv6/conf/default/forwarding",
			"net/ipv6/conf/eth0/forwarding", "net/ipv6/conf/lo/forwarding",
		},
	} {
		for _, value := range []string{"1", "0"} {
			run(t, l.Host("gw"), func() error {
				before := snapshot()
				if err := (host.Proc{}).Set(key, value); err != nil {
					return err
				}
				return equal("changed by "+key+"="+value, strings.Join(want, "\n"), strings.Join(changed(before, snapshot()), "\n"))
			})
		}
	}
}

// TestKernelOwner applies on a host whose owner has set what forwarding resets, and takes
// it back in both ways.
func TestKernelOwner(t *testing.T) {
	l := lab.Start(t, lab.Wire("gw:eth0 10.1.0.1/24", "pc:eth0 10.1.0.2/24"))
	want := keys{forward4: "1", forward6: "1", mark: "1"}
	run(t, l.Host("gw"), func() error {
		owners := keys{
			redirects: "0", "net/ipv4/conf/eth0/accept_redirects": "0",
			"net/ipv4/conf/eth0/forwarding": "1", "net/ipv6/conf/eth0/forwarding": "1",
		}
		for key, value := range owners {
			if err := (host.Proc{}).Set(key, value); err != nil {
				return err
			}
		}
		w := kernelWorld()
		if err := w.backend.Check(t.Context(), w.input(want)); err != nil {
			return err
		}
		before := w.String()
		p, err := w.plan(want)
		if err != nil {
			return err
		}
		if err := w.converge(want); err != nil {
			return err
		}
		on := w.String()
		for _, line := range []string{forward4 + " = 1", forward6 + " = 1", mark + " = 1", redirects + " = 0"} {
			if !strings.Contains(on, line+"\n") {
				return fmt.Errorf("applied, but not %s:\n%s", line, on)
			}
		}
		if err := w.undo(p, len(p.Steps)); err != nil {
			return err
		}
		if err := equal("after undo", before, w.String()); err != nil {
			return err
		}
		if err := errors.Join(w.converge(want), equal("applied again", on, w.String())); err != nil {
			return err
		}
		if p, err = w.plan(nil); err != nil {
			return err
		}
		return errors.Join(w.converge(nil), equal("destroyed", before, w.String()),
			w.undo(p, len(p.Steps)), equal("the end undone", on, w.String()))
	})
	// What is below /proc/sys/net belongs to the namespace of the thread that looks.
	if got := l.Host("pc").ReadFile("/proc/sys/" + forward4); got != "0\n" {
		t.Errorf("the other host forwards: %q", got)
	}
}

// TestKernelRedirects: a gateway whose LAN and way on share an interface tells the LAN the
// shorter way past it, until that interface is told not to as well.
func TestKernelRedirects(t *testing.T) {
	l := lab.Start(t, lab.LAN("lan", "gw:eth0 10.1.0.1/24", "pc:eth0 10.1.0.2/24 via 10.1.0.1", "router:eth0 10.1.0.3/24 10.9.0.1/24 10.9.0.2/24"))
	gw, pc := l.Host("gw"), l.Host("pc")
	gw.Run("ip", "route", "add", "10.9.0.0/24", "via", "10.1.0.3")
	gw.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	w := kernelWorld()
	want := keys{"net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/default/send_redirects": "0"}
	for _, step := range []struct {
		name   string
		want   keys
		silent bool
		dst    string
	}{{"off", want, true, "10.9.0.1"}, {"as before", nil, false, "10.9.0.2"}} {
		run(t, gw, func() error { return w.converge(step.want) })
		seen := pc.Capture("eth0", "icmp")
		pc.Ping(step.dst)
		seen.Await(step.dst + " > 10.1.0.2: ICMP echo reply")
		if step.silent {
			if out := seen.Stop(); strings.Contains(out, "redirect") {
				t.Errorf("%s:\n%s", step.name, out)
			}
			continue
		}
		seen.Await("redirect " + step.dst)
	}
	if p := w.mustPlan(t, nil); len(p.Steps) > 0 {
		t.Errorf("left to do:\n%s", p.Text(plan.Palette{}))
	}
}

// TestKernelReadOnly is a container: its /proc/sys cannot be written.
func TestKernelReadOnly(t *testing.T) {
	l := lab.Start(t, lab.Alone("box"))
	box := l.Host("box")
	box.Run("mount", "--bind", "/proc/sys", "/proc/sys")
	box.Run("mount", "-o", "remount,bind,ro", "/proc/sys")
	run(t, box, func() error {
		w := kernelWorld()
		err := w.backend.Check(t.Context(), w.input(keys{forward4: "1"}))
		if err == nil || !strings.Contains(err.Error(), "may not be written here; run with privileges") {
			return fmt.Errorf("read-only /proc/sys: %w", err)
		}
		if err := w.backend.Check(t.Context(), w.input(keys{forward4: "0"})); err != nil {
			return fmt.Errorf("value that is right already: %w", err)
		}
		return nil
	})
}

// TestKernelAdvertisement keeps a default route that came by router advertisement while
// the host begins to forward.
func TestKernelAdvertisement(t *testing.T) {
	l := lab.Start(t, lab.Wire("gw:eth0 10.1.0.1/24", "router:eth0 10.1.0.2/24"))
	gw, router := l.Host("gw"), l.Host("router")
	learn := func() {
		t.Helper()
		gw.Eventually(20*time.Second, func() error {
			if err := router.Do(advertise); err != nil {
				return err
			}
			return hasDefault(gw)
		})
	}
	learn()
	gw.Run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
	if hasDefault(gw) == nil {
		t.Fatal("the kernel keeps the route by itself: nothing to be proved")
	}
	gw.Run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
	learn()
	w := kernelWorld()
	w.print = func() string { return "" }
	for _, step := range []struct {
		want keys
		ra   string
		plan string
	}{
		{keys{forward6: "1"}, "2", "~ sysctl/net.ipv6.conf.eth0.accept_ra\n    value: 1 -> 2\n" +
			"~ sysctl/net.ipv6.conf.all.forwarding\n    value: 0 -> 1\n"},
		{nil, "1", "~ sysctl/net.ipv6.conf.all.forwarding\n    value: 1 -> 0\n" +
			"~ sysctl/net.ipv6.conf.eth0.accept_ra\n    value: 2 -> 1\n"},
	} {
		run(t, gw, func() error {
			p, err := w.plan(step.want)
			if err != nil {
				return err
			}
			return errors.Join(equal("plan", step.plan, settingsOf(p)), w.converge(step.want))
		})
		if err := hasDefault(gw); err != nil {
			t.Errorf("after %v: %v", step.want, err)
		}
		if got := gw.ReadFile("/proc/sys/net/ipv6/conf/eth0/accept_ra"); got != step.ra+"\n" {
			t.Errorf("after %v: accept_ra is %q", step.want, got)
		}
	}
}

func hasDefault(h *lab.Host) error {
	out, err := h.Try("ip", "-6", "route", "show", "default", "proto", "ra")
	if err == nil && out == "" {
		err = errors.New("no default route from an advertisement")
	}
	return err
}

// advertise sends one router advertisement out of eth0; RFC 4861, section 4.2.
func advertise() error {
	iface, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	const lifetime = 1800 >> 8 // the high byte of a lifetime of half an hour
	packet := []byte{134, 0, 0, 0, 64, 0, lifetime, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	to := &unix.SockaddrInet6{ZoneId: uint32(iface.Index)}
	copy(to.Addr[:], net.IPv6linklocalallnodes)
	return unix.Sendto(fd, packet, 0, to)
}
