package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// Main is the guest's program: the machine's first process, or under systemd
// first that and then, by another name, the agent. It does not return.
func Main() {
	if os.Getpid() != 1 {
		os.Exit(serviceMain())
	}
	err := boot()
	// Without a first process the kernel panics; what went wrong has been
	// reported, as far as there was a way.
	if err != nil {
		fmt.Fprintln(os.Stderr, "vpnctl-vm:", err)
	}
	powerOff()
}

// powerOff ends the machine.
func powerOff() {
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// boot sets the machine up and runs the job, or hands over to systemd.
func boot() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if err := mountKernel(); err != nil {
		return err
	}
	if err := loadEarly(); err != nil {
		return err
	}
	job, err := readJob(JobFile)
	if err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	defer port.Close()
	agent := &Agent{job: job, send: NewSender(port), boot: 1, alone: true}
	if err := enterRoot(job); err != nil {
		agent.send.Event(Event{Kind: Failed, Text: err.Error()})
		return err
	}
	if job.Systemd {
		// The agent opens the port again.
		port.Close()
		return execSystemd()
	}
	os.Setenv("PATH", searchPath)
	agent.Serve()
	return nil
}

// mountKernel mounts what the kernel itself offers.
func mountKernel() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := mount(m[0], m[1], m[0], 0, ""); err != nil {
			return err
		}
	}
	return nil
}

// mount makes the folder and mounts on it.
func mount(source, target, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mounting %s: %w", target, err)
	}
	return nil
}

// loadEarly loads the modules of the initial file system, whose names sort in
// the order of their dependencies.
func loadEarly() error {
	files, err := filepath.Glob(ModuleDir + "/*")
	if err != nil {
		return err
	}
	sort.Strings(files)
	for _, name := range files {
		if err := loadModule(name); err != nil {
			return fmt.Errorf("loading %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// loadModule loads one module, which the kernel may have already.
func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(name) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), "", flags)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// readJob reads the job.
func readJob(name string) (Job, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return Job{}, fmt.Errorf("reading job: %w", err)
	}
	var job Job
	if err := json.Unmarshal(b, &job); err != nil {
		return Job{}, fmt.Errorf("reading job: %w", err)
	}
	return job, nil
}

// openPort opens the virtual serial port that leads outside.
func openPort() (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && string(b) == PortName+"\n" {
			// By the system call, since package os would make it
			// non-blocking: a blocking write returns when the other
			// side has the bytes, so none are lost at power-off.
			dev := "/dev/" + filepath.Base(filepath.Dir(name))
			fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, fmt.Errorf("opening %s: %w", dev, err)
			}
			return os.NewFile(uintptr(fd), dev), nil
		}
	}
	return nil, fmt.Errorf("finding port %s: none of %d", PortName, len(names))
}
