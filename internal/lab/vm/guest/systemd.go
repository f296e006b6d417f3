package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxBoots ends a machine that only ever reboots.
const maxBoots = 8

// bootFile holds the number of the boot: on the disk, where it outlives a
// reboot, and in StateDir for the agent.
const bootFile = "/boot-number"

// masked are the units that take an emulated machine's time, or belong to the
// hardware of the machine around.
var masked = []string{
	"dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service", "modprobe@drm.service",
	"getty.target", "systemd-logind.service", "systemd-firstboot.service",
	"systemd-timesyncd.service", "systemd-networkd-wait-online.service",
	"systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
	"systemd-journal-catalog-update.service", "systemd-journal-flush.service",
	"systemd-hwdb-update.service", "ldconfig.service", "e2scrub_reap.service", "systemd-pstore.service",
}

// agentUnits start the agent after everything else, so that a program sees a
// machine that has booted. The agent is no oneshot: the machine would count as
// booting as long as it runs.
var agentUnits = map[string]string{
	"vpnctl-vm.target": `[Unit]
Description=Machine with the agent of vpnctl-vm
Requires=multi-user.target
Wants=vpnctl-vm.service
After=multi-user.target
AllowIsolate=yes
`,
	"vpnctl-vm.service": `[Unit]
Description=Agent of vpnctl-vm
DefaultDependencies=no
After=multi-user.target
[Service]
ExecStart=` + StateDir + `/agent
Environment=HOME=/root
OOMScoreAdjust=-900
`,
}

// mountDisk mounts the disk for the changes, and counts the boots there.
func mountDisk() error {
	if err := mount("/dev/vda", upperDir, "ext4", 0, ""); err != nil {
		return err
	}
	n, err := readNumber(upperDir + bootFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if n == maxBoots {
		return fmt.Errorf("booting: already %d times", n)
	}
	return os.WriteFile(upperDir+bootFile, []byte(strconv.Itoa(n+1)), 0o644)
}

// readNumber reads a file that holds a number.
func readNumber(name string) (int, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// prepareSystemd writes into the new root what systemd will find there.
func prepareSystemd(root string) error {
	boot, err := readNumber(upperDir + bootFile)
	if err != nil {
		return err
	}
	if boot == 1 {
		if err := forgetServices(root); err != nil {
			return fmt.Errorf("removing the machine's own services: %w", err)
		}
	}
	// In /run, since the programs may look at /etc, which is theirs.
	units, tmpfiles := root+"/run/systemd/system", root+"/run/tmpfiles.d"
	if err := errors.Join(os.MkdirAll(units, 0o755), os.MkdirAll(tmpfiles, 0o755)); err != nil {
		return err
	}
	for name, content := range agentUnits {
		if err := os.WriteFile(filepath.Join(units, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	for _, name := range masked {
		if err := os.Symlink(os.DevNull, filepath.Join(units, name)); err != nil {
			return err
		}
	}
	// /tmp shows what the machine around has there; nothing to clean.
	if err := os.Symlink(os.DevNull, filepath.Join(tmpfiles, "tmp.conf")); err != nil {
		return err
	}
	return copyFile(root+StateDir+bootFile, upperDir+bootFile)
}

// forgetServices takes out what is enabled on the machine around. What a
// program enables later stays, hence only on the first boot.
func forgetServices(root string) error {
	for _, pattern := range []string{
		"/etc/systemd/system/*.wants", "/etc/systemd/system/*.requires", "/etc/rc?.d/*",
		"/etc/systemd/system/strongswan-swanctl.service", // an alias counts as enabled, too
	} {
		names, err := filepath.Glob(root + pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		os.WriteFile(root+"/etc/fstab", nil, 0o644),
		os.WriteFile(root+"/etc/hostname", []byte(hostName+"\n"), 0o644),
	)
}

// execSystemd replaces this process by systemd.
func execSystemd() error {
	argv := []string{"/lib/systemd/systemd", "--unit=vpnctl-vm.target", "--show-status=false", "--log-level=err"}
	if err := unix.Exec(argv[0], argv, []string{"PATH=" + searchPath}); err != nil {
		return fmt.Errorf("starting systemd: %w", err)
	}
	return nil
}

// serviceMain is the agent as a service of systemd.
func serviceMain() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "vpnctl-vm:", err)
		return 1
	}
	return 0
}

// serve runs the job's program, as often as it asks for a reboot.
func serve() error {
	job, err := readJob(StateDir + JobFile)
	if err != nil {
		return err
	}
	boot, err := readNumber(StateDir + bootFile)
	if err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	defer port.Close()
	a := &Agent{job: job, send: NewSender(port), boot: boot}
	a.loadModules()
	a.send.Event(Event{Kind: Booted, Boot: boot, Seconds: uptime().Seconds()})
	if a.serve(0) != Reboot {
		return a.send.Event(Event{Kind: Done})
	}
	return a.reboot()
}

// reboot reboots as an administrator would, so that all services are stopped.
func (a *Agent) reboot() error {
	argv := []string{"systemctl", "--no-block", "--job-mode=replace-irreversibly", "start", "reboot.target"}
	code, err := a.run(Run{Argv: argv, Dir: "/", Timeout: time.Minute})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return a.send.Event(Event{Kind: Failed, Text: fmt.Sprintf("rebooting: %v", err)})
	}
	return nil
}
