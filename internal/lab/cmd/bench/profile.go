package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
)

// profileEnv makes this program vpnctl, with a profile of its processor time. vpnctl's
// own binary need not carry the profiler.
const profileEnv = "VPNCTL_BENCH_PROFILE"

// profileRuns is how many runs make a profile, which looks a hundred times a second: a
// run may be over in tenths of one.
const profileRuns = 5

func profiled() bool { return os.Getenv(profileEnv) != "" }

func profile(vpnctl func() int) int {
	f, err := os.Create(os.Getenv(profileEnv))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profiling:", err)
		return 1
	}
	code := vpnctl()
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: profiling:", err)
		return 1
	}
	return code
}

// shown are the functions that a profile is about: ours, and those that cost most of
// what is not.
const shown = "vpnctl|yaml|wgctrl|netlink|json|sha256|schedinit|doInit|" +
	"runtime.(mcall|mstart1|sysmon|mallocgc|gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge|memmove|memclrNoHeapPointers)$"

// explain prints where the time of our side of a row goes.
func explain(m *machine, r *row, tool string) error {
	// Not os.Executable: that is below /run, which every host has of its own.
	self, err := exec.LookPath(os.Args[0])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/srv", "bench-") // hosts have it in common
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := r.scenario
	s.before = as(self, s.before)
	if err := m.prepare(&s, profileEnv+"="+os.DevNull); err != nil {
		return err
	}
	args := []string{"-top", "-cum", "-nodecount=45", "-show=" + shown}
	for i := range profileRuns {
		file := filepath.Join(dir, fmt.Sprintf("%d.pprof", i))
		if _, err := m.run(&s, as(self, s.ours), profileEnv+"="+file); err != nil {
			return err
		}
		args = append(args, file)
	}
	out, err := exec.Command(tool, args...).Output()
	if err != nil {
		return fmt.Errorf("running %s: %w", tool, err)
	}
	fmt.Printf("\nWhere the time goes: %s (%d runs)\n%s\n", r.object(), profileRuns, bytes.TrimSpace(out))
	return nil
}

// as are command lines of vpnctl with another program in its place. All of a scenario are:
// vpnctl does not trust what another binary has read.
func as(program string, commands [][]string) [][]string {
	var out [][]string
	for _, argv := range commands {
		out = append(out, append([]string{program}, argv[1:]...))
	}
	return out
}
