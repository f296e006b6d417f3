package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab/vm/guest"
)

// bootLimit bounds a boot, which takes seconds on an idle machine.
const bootLimit = 5 * time.Minute

// spare is what a run may take longer than its timeout, which the guest itself
// enforces, before the machine is taken for hung.
const spare = 2 * time.Minute

// early are the modules that the guest needs to reach the machine's files, and
// earlyDisk those for a disk of its own.
var (
	early     = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"}
	earlyDisk = []string{"virtio_blk", "ext4"}
)

// diskSize is the size of the disk, in MiB: of a file with a hole.
const diskSize = 4096

// load are the modules that programs may need: what network namespaces share,
// and what a program without a view of /lib/modules cannot have loaded.
var load = []string{
	"af_packet", "bridge", "dummy", "tun", "veth", "wireguard",
	"ip_tables", "ip6_tables", "iptable_filter", "iptable_mangle", "iptable_nat", "nf_conntrack", "nf_conntrack_netlink",
	"nf_tables", "nft_compat", "nft_chain_nat", "xt_MASQUERADE", "xt_TCPMSS", "xt_comment", "xt_connmark", "xt_conntrack", "xt_mark", "xt_policy", "xt_tcpudp",
	"ah4", "ah6", "esp4", "esp6", "ipcomp", "xfrm_interface", "xfrm_user", "xfrm4_tunnel", "af_key",
	"l2tp_core", "l2tp_netlink", "l2tp_ppp", "ppp_async", "ppp_generic", "ppp_mppe", "pppox",
	"ip_gre", "nf_conntrack_pptp", "nf_nat_pptp", "pptp", "arc4",
}

// Machine is one virtual machine, from boot to the end of its job.
type Machine struct {
	Kernel Kernel
	Memory int    // MiB
	Init   string // the guest's program, statically linked
	// Programs are the files to put into the guest's memory, by their names
	// in a Run's Argv.
	Programs map[string]string
	Job      guest.Job
	// Output receives what the programs print.
	Output io.Writer
	// Event is called for every event from the guest.
	Event func(guest.Event)
}

// Run boots the machine and waits for the end of the job. Programs that fail
// are no error: their exit codes are in the events.
func (m *Machine) Run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "vpnctl-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m.Job.Modules, m.Job.Load = m.Kernel.modules(), load
	if err := m.writeInitrd(ctx, filepath.Join(dir, "initrd")); err != nil {
		return fmt.Errorf("writing initial file system: %w", err)
	}
	if m.Job.Systemd {
		if err := makeDisk(ctx, filepath.Join(dir, "disk")); err != nil {
			return fmt.Errorf("making disk: %w", err)
		}
	}
	for {
		again, err := m.boot(ctx, dir)
		if err != nil || !again {
			return err
		}
	}
}

// boot runs the machine until it ends, and reports whether it is to start
// again. That is a new emulator with the old disk: after a reset in the same
// one, everything takes twice as long.
func (m *Machine) boot(ctx context.Context, dir string) (again bool, err error) {
	socket := filepath.Join(dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return false, err
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	qemu := m.qemu(ctx, dir)
	var log strings.Builder
	qemu.Stdout, qemu.Stderr = &log, &log
	if err := qemu.Start(); err != nil {
		return false, fmt.Errorf("starting qemu: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = qemu.Wait() // killed, as a rule
		l.Close()       // ends a wait for a machine that never came up
		close(ended)
	}()
	again, err = m.follow(ctx, l, cancel)
	cancel()
	<-ended
	if err != nil {
		return false, fmt.Errorf("%w\n%s%s", err, log.String(), tail(filepath.Join(dir, "console"), 60))
	}
	return again, nil
}

// writeInitrd writes the initial file system with everything for this job.
func (m *Machine) writeInitrd(ctx context.Context, name string) error {
	names := early
	if m.Job.Systemd {
		names = slices.Concat(early, earlyDisk)
	}
	modules, err := m.Kernel.withDependencies(ctx, names...)
	if err != nil {
		return err
	}
	job, err := json.Marshal(m.Job)
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	c := newCpio(w)
	c.Device("/dev/console", 5, 1)
	c.Dir(guest.ProgramDir)
	c.File("/init", m.Init)
	c.Bytes(guest.JobFile, job)
	for i, from := range modules {
		// The number keeps the order.
		c.File(fmt.Sprintf("%s/%02d-%s", guest.ModuleDir, i, filepath.Base(from)), from)
	}
	for name, from := range m.Programs {
		c.File(path.Join(guest.ProgramDir, name), from)
	}
	return errors.Join(c.Close(), w.Flush(), f.Close())
}

// makeDisk makes an empty file system.
func makeDisk(ctx context.Context, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize<<20), f.Close()); err != nil {
		return err
	}
	return quietly(exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-J", "size=4", name))
}

// qemu returns the emulator's command.
func (m *Machine) qemu(ctx context.Context, dir string) *exec.Cmd {
	// An old processor with AES: programs that find AVX use it, and to emulate that takes
	// longer than to do without.
	args := []string{
		"-accel", "tcg,thread=multi", "-cpu", "Westmere", "-smp", "2", "-m", fmt.Sprint(m.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.Kernel.image(), "-initrd", filepath.Join(dir, "initrd"), "-append", m.cmdline(),
		"-serial", "file:" + filepath.Join(dir, "console"),
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=agent,path=" + filepath.Join(dir, "agent"),
		"-device", "virtserialport,chardev=agent,name=" + guest.PortName,
		"-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-9p-pci,fsdev=root,mount_tag=" + guest.RootTag,
	}
	if m.Job.Systemd {
		// Nothing on the disk has to outlive this process.
		disk := filepath.Join(dir, "disk")
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+disk)
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// cmdline is the kernel's command line. What slows an emulated machine down
// and no test looks at is off.
func (m *Machine) cmdline() string {
	return "console=ttyS0 quiet panic=-1 no_timer_check nowatchdog mitigations=off audit=0 apparmor=0" +
		// Module ip_gre would put gre0 and others into every namespace.
		" fb_tunnels=none" +
		" systemd.show_status=0 systemd.log_level=err systemd.log_target=console net.ifnames=0"
}

// follow receives from the guest until its job is done or the machine ends,
// and calls kill when nothing is to be expected any more. Under systemd a
// machine that ends early starts again: it reboots, or has crashed.
func (m *Machine) follow(ctx context.Context, l net.Listener, kill func()) (again bool, err error) {
	conn, err := l.Accept()
	if err != nil {
		return false, errors.New("booting virtual machine: emulator ended")
	}
	defer conn.Close()
	var state guest.Event
	var hung bool
	watchdog := time.AfterFunc(bootLimit, kill)
	defer watchdog.Stop()
	err = guest.Receive(conn, m.Output, func(e guest.Event) {
		hung = !watchdog.Stop()
		watchdog.Reset(m.patience(e))
		state = e
		if m.Event != nil {
			m.Event(e)
		}
		if e.Kind == guest.Done {
			// No need to wait for an orderly end.
			kill()
		}
	})
	switch {
	case state.Kind == guest.Done:
		return false, nil
	case state.Kind == guest.Failed:
		return false, fmt.Errorf("setting up virtual machine: %s", state.Text)
	case hung || !watchdog.Stop():
		return false, fmt.Errorf("waiting for virtual machine: hung after %s", orBoot(state.Kind))
	case m.Job.Systemd && state.Kind != "" && ctx.Err() == nil:
		return true, nil
	default:
		return false, errors.Join(fmt.Errorf("running virtual machine: ended after %s", orBoot(state.Kind)), err)
	}
}

// orBoot names what happened last.
func orBoot(k guest.EventKind) string {
	if k == "" {
		return "the start of the boot"
	}
	return fmt.Sprintf("%q", k)
}

// patience is how long to wait for the event after e.
func (m *Machine) patience(e guest.Event) time.Duration {
	if e.Kind == guest.Started {
		return m.Job.Runs[e.Run].Timeout + spare
	}
	return bootLimit
}

// tail returns the last lines of a file, for an error message.
func tail(name string, n int) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(b), "\r", "")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
