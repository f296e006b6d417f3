package host

import (
	"fmt"
	"os"
	"strings"
)

const kernelBoot = "/proc/sys/kernel/random/boot_id"

// BootID tells one boot of this host from the next. The kernel's own number outlasts the
// restart of a container, which the first process does not.
func BootID() (string, error) {
	id, err := os.ReadFile(kernelBoot)
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	init, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	return bootID(string(id), string(init)), nil
}

// startTime is the field of a process's stat that has when it was started.
const startTime = 22

func bootID(id, init string) string {
	start := startOf(init)
	if start == "" {
		return strings.TrimSpace(id)
	}
	return strings.TrimSpace(id) + "/" + start
}

// startOf is when the process of that stat was started, in ticks since the kernel was; ""
// where it does not tell.
func startOf(stat string) string {
	return statField(stat, startTime)
}

// RunID tells one run of a program from another, whose process may have the same number.
// The kernel's clock for it is that of its own start, which nobody sets.
func RunID(pid int) (string, error) {
	id, err := os.ReadFile(kernelBoot)
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("reading start of process %d: %w", pid, err)
	}
	return fmt.Sprintf("%d/%s/%s", pid, startOf(string(stat)), strings.TrimSpace(string(id))), nil
}
