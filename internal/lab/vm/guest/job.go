package guest

import "time"

// What the initial file system holds, and what becomes of it.
const (
	// JobFile names the job, as JSON.
	JobFile = "/job.json"
	// ModuleDir holds the kernel modules that are needed before the
	// machine's own files are there, in order of loading.
	ModuleDir = "/early-modules"
	// ProgramDir holds the programs to run. They are in memory from the
	// start: read over 9p, a page at a time, they would be slow.
	ProgramDir = "/programs"
	// StateDir is where the agent finds all of that later.
	StateDir = "/run/vpnctl-vm"
)

// Names of the devices between the two sides.
const (
	PortName = "vpnctl.agent"
	RootTag  = "root"
)

// Job says what to do in one virtual machine.
type Job struct {
	Runs []Run
	// Env is added to the environment of each run.
	Env []string
	// Modules is the folder of the kernel's modules, for /lib/modules.
	Modules string
	// Load are the kernel modules to load as far as the kernel has them.
	Load []string
	// Install maps paths in the machine to programs in ProgramDir.
	Install map[string]string
	// Systemd boots systemd, with a disk that keeps all changes over a
	// reboot.
	Systemd bool
}

// Run is one program to run.
type Run struct {
	Argv    []string
	Dir     string
	Timeout time.Duration
}

// Reboot is the exit code by which a program under systemd asks to be run again
// after a reboot. A machine that crashes comes up again too, and runs it once
// more.
const Reboot = 99

// Event is a message from the agent, in between the output of programs.
type Event struct {
	Kind    EventKind
	Boot    int     `json:",omitempty"` // which boot of the machine, from 1
	Run     int     `json:",omitempty"` // index into Job.Runs
	Code    int     `json:",omitempty"` // exit code, 128 + signal
	Seconds float64 `json:",omitempty"`
	Text    string  `json:",omitempty"`
}

// EventKind tells events apart.
type EventKind string

// The kinds of events.
const (
	Booted    EventKind = "booted"    // Seconds since the kernel's start
	Started   EventKind = "started"   // Run
	Exited    EventKind = "exited"    // Run, Code, Seconds; Text where it was killed
	Rebooting EventKind = "rebooting" // the same, and the program wants to run again
	Done      EventKind = "done"      // the last event of a machine
	Failed    EventKind = "failed"    // Text; the machine itself went wrong
)
