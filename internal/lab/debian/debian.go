// Package debian installs what lab and virtual machine need from Debian's
// packages, so that a fresh machine needs no set-up by hand.
package debian

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Versions are those of the Debian release.
var (
	// Tools are what the hosts of a lab and their tests call.
	Tools = []string{"conntrack", "iproute2", "iptables", "iputils-ping", "kmod", "procps", "tcpdump", "wireguard-tools"}
	// Machine is what a virtual machine needs.
	Machine = []string{"dbus", "e2fsprogs", "qemu-system-x86", "systemd"}
	// IPsec is strongSwan as vpnctl drives it.
	IPsec = []string{"charon-systemd", "libcharon-extauth-plugins", "libstrongswan-standard-plugins", "strongswan-swanctl"}
	// PPP is what carries L2TP and PPTP, on both ends, and who may say who logs in.
	PPP = []string{"freeradius", "ppp", "pptp-linux", "pptpd", "xl2tpd"}
	// Compiler is what go test -race needs.
	Compiler = []string{"gcc", "libc6-dev"}
)

// Install installs the packages that are missing.
func Install(ctx context.Context, log io.Writer, names ...string) error {
	missing, err := missing(ctx, names)
	if err != nil || len(missing) == 0 {
		return err
	}
	fmt.Fprintf(log, "installing Debian packages: %s\n", strings.Join(missing, " "))
	argv := append([]string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}, missing...)
	if apt(ctx, argv...) == nil {
		return nil
	}
	if err := Update(ctx); err != nil {
		return err
	}
	return apt(ctx, argv...)
}

// Update fetches the lists of packages: a fresh machine has none, and an old
// one old ones.
func Update(ctx context.Context) error { return apt(ctx, "apt-get", "update", "-qq") }

// missing asks dpkg.
func missing(ctx context.Context, names []string) ([]string, error) {
	argv := append([]string{"-W", "-f", "${db:Status-Status} ${Package}\n"}, names...)
	// It fails for packages that it has never heard of, and lists the rest.
	out, err := exec.CommandContext(ctx, "dpkg-query", argv...).Output()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	have := strings.Split(string(out), "\n")
	return slices.DeleteFunc(slices.Clone(names), func(p string) bool {
		return slices.Contains(have, "installed "+p)
	}), nil
}

// apt runs a package tool without questions. Its output is shown in the error
// only.
func apt(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], "-o", "DPkg::Lock::Timeout=600", "-o", "APT::Sandbox::User=root")...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
