package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/lab/debian"
)

// metaPackage depends on the current kernel of the Debian release.
const metaPackage = "linux-image-amd64"

// Kernel is Debian's kernel, unpacked into a folder. It is not installed on
// the machine around.
type Kernel struct {
	root    string
	version string
}

// CacheDir returns where the kernel is kept.
func CacheDir() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "vpnctl-vm")
	}
	return "/var/cache/vpnctl-vm"
}

// image is the file to boot.
func (k Kernel) image() string { return filepath.Join(k.root, "boot", "vmlinuz-"+k.version) }

// modules is the folder for /lib/modules.
func (k Kernel) modules() string { return filepath.Join(k.root, "lib", "modules") }

// Prepare installs missing packages, and fetches the kernel unless it is in
// the cache.
func Prepare(ctx context.Context, log io.Writer) (Kernel, error) {
	dir := CacheDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Kernel{}, err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return Kernel{}, fmt.Errorf("locking cache: %w", err)
	}
	defer unlock()
	if err := debian.Install(ctx, log, slices.Concat(debian.Tools, debian.Machine)...); err != nil {
		return Kernel{}, fmt.Errorf("installing packages: %w", err)
	}
	root := filepath.Join(dir, "kernel")
	if k, err := openKernel(root); err == nil {
		return k, nil
	}
	fmt.Fprintf(log, "fetching Debian's kernel into %s\n", dir)
	if err := fetchKernel(ctx, root); err != nil {
		return Kernel{}, fmt.Errorf("fetching kernel: %w", err)
	}
	return openKernel(root)
}

// lock takes a lock that other runs wait for.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// openKernel finds the kernel in its folder.
func openKernel(root string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	if len(images) != 1 {
		return Kernel{}, fmt.Errorf("finding kernel in %s: %d images", root, len(images))
	}
	return Kernel{root: root, version: strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")}, nil
}

// fetchKernel downloads and unpacks the kernel. A folder with the final name
// is complete.
func fetchKernel(ctx context.Context, root string) error {
	name, err := kernelPackage(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(root), "fetch-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	unpacked := filepath.Join(dir, "kernel")
	if err := download(ctx, dir, name); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("downloading %s: %d packages", name, len(debs))
	}
	if err := quietly(exec.CommandContext(ctx, "dpkg", "-x", debs[0], unpacked)); err != nil {
		return err
	}
	k, err := openKernel(unpacked)
	if err != nil {
		return err
	}
	if err := quietly(exec.CommandContext(ctx, "depmod", "-b", unpacked, k.version)); err != nil {
		return err
	}
	// What a killed run left behind, or a cache of another layout.
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	return os.Rename(unpacked, root)
}

// download fetches a package into a folder.
func download(ctx context.Context, dir, name string) error {
	cmd := exec.CommandContext(ctx, "apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name)
	cmd.Dir = dir
	return quietly(cmd)
}

// kernelPackage returns the name of the package with the kernel itself.
func kernelPackage(ctx context.Context) (string, error) {
	if name := kernelDependency(ctx); name != "" {
		return name, nil
	}
	if err := debian.Update(ctx); err != nil {
		return "", err
	}
	if name := kernelDependency(ctx); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("finding the kernel of %s: no such dependency", metaPackage)
}

var dependency = regexp.MustCompile(`Depends: (linux-image-[0-9]\S*)`)

// kernelDependency asks apt, which knows nothing before its first update.
func kernelDependency(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", metaPackage).Output()
	m := dependency.FindSubmatch(out)
	if err != nil || m == nil {
		return ""
	}
	return string(m[1])
}

// withDependencies returns the files of modules in the order of loading.
func (k Kernel) withDependencies(ctx context.Context, names ...string) ([]string, error) {
	argv := append([]string{"-d", k.root, "-S", k.version, "--show-depends", "-a"}, names...)
	out, err := exec.CommandContext(ctx, "modprobe", argv...).Output()
	if err != nil {
		return nil, fmt.Errorf("asking modprobe for %s: %w", strings.Join(names, " "), err)
	}
	var files []string
	seen := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "insmod" || seen[words[1]] {
			continue // or "builtin"
		}
		seen[words[1]] = true
		files = append(files, words[1])
	}
	return files, nil
}

// quietly runs a command, and shows its output in the error only.
func quietly(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
