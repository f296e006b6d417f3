package host

import (
	"fmt"
	"os"
	"strings"
)

// BootID tells one boot of this host from the next. The kernel's own number outlasts the
// restart of a container, which the first process does not.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	init, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		return "", fmt.Errorf("reading boot id: %w", err)
	}
	return bootID(string(id), string(init)), nil
}

// startTime is the field of proc(5)'s stat that has it, counted from behind the name of the
// program, which may hold anything.
const startTime = 22 - 3

func bootID(id, init string) string {
	words := strings.Fields(init[strings.LastIndexByte(init, ')')+1:])
	if len(words) <= startTime {
		return strings.TrimSpace(id)
	}
	return strings.TrimSpace(id) + "/" + words[startTime]
}
