package vm

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Packages are the Debian packages that the virtual machine and the tests in
// it need. Versions are those of the Debian release.
var Packages = []string{
	// The machine itself.
	"e2fsprogs", "kmod", "qemu-system-x86", "systemd",
	// Tools that the lab and its tests call.
	"conntrack", "iproute2", "iptables", "iputils-ping", "procps", "tcpdump", "wireguard-tools",
}

// install installs the packages that are missing.
func install(ctx context.Context, log io.Writer) error {
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	fmt.Fprintf(log, "vmrun: installing Debian packages: %s\n", strings.Join(missing, " "))
	argv := append([]string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}, missing...)
	if apt(ctx, argv...) == nil {
		return nil
	}
	// A fresh machine has no package lists, an old one has old ones.
	if err := apt(ctx, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return apt(ctx, argv...)
}

// missingPackages asks dpkg.
func missingPackages(ctx context.Context) ([]string, error) {
	argv := append([]string{"-W", "-f", "${db:Status-Status} ${Package}\n"}, Packages...)
	// It fails for packages that it has never heard of, and lists the rest.
	out, err := exec.CommandContext(ctx, "dpkg-query", argv...).Output()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	have := strings.Split(string(out), "\n")
	return slices.DeleteFunc(slices.Clone(Packages), func(p string) bool {
		return slices.Contains(have, "installed "+p)
	}), nil
}

// apt runs a package tool without questions. Its output is shown in the error
// only.
func apt(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], "-o", "DPkg::Lock::Timeout=600", "-o", "APT::Sandbox::User=root")...)
	return quietly(cmd, "DEBIAN_FRONTEND=noninteractive")
}

// quietly runs a command, and shows its output in the error only.
func quietly(cmd *exec.Cmd, env ...string) error {
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
