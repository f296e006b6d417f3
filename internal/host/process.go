package host

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Processes lists the processes of this network namespace that run one of the programs,
// by number. One elsewhere is of another host.
func Processes(programs ...string) []int {
	paths, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range paths {
		comm, err := os.ReadFile(path)
		if err != nil || !slices.Contains(programs, strings.TrimSpace(string(comm))) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && OwnNamespace(pid) && !ended(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// OwnNamespace reports whether a process is in this network namespace. One that cannot be
// seen is: a pid namespace hides it, and that goes with a network namespace of its own.
func OwnNamespace(pid int) bool {
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return true
	}
	other, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	return err != nil || own == other
}

// ended reports whether a process has ended and only waits for its parent to hear of it.
func ended(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	state := statField(string(stat), 3)
	return state == "" || state == "Z" || state == "X"
}

// statField is the n-th field of proc(5)'s stat, from the third on; "" where there is none.
// The second is the name, which may hold anything, a parenthesis too.
func statField(stat string, n int) string {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= n-3 {
		return ""
	}
	return fields[n-3]
}
