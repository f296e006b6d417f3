package unit

import (
	"os"
	"slices"
	"strings"
)

// CommandLine writes words as systemd.service(5) reads them from a unit file.
func CommandLine(words ...string) string {
	escaped := make([]string, len(words))
	for i, w := range words {
		escaped[i] = escape(w)
	}
	return strings.Join(escaped, " ")
}

func escape(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s)
	if strings.ContainsAny(s, " \t\\\"'") {
		return `"` + s + `"`
	}
	return s
}

// Text is a unit file that runs the program at exe. The program in one that stands stays in
// it while it is there: another path to the same program is no difference, unless the first
// will not last and the other will.
func Text(have []byte, exe string, text func(exe string) []byte) []byte {
	old := program(string(have))
	if old != "" && (!Temporary(old) || Temporary(exe)) && string(text(old)) == string(have) {
		return have
	}
	return text(exe)
}

// program is what a unit file runs, "" where that is not there.
func program(text string) string {
	_, rest, _ := strings.Cut(text, "\nExecStart=/")
	exe, _, _ := strings.Cut("/"+rest, " ")
	if info, err := os.Stat(exe); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return ""
	}
	return exe
}

// Temporary reports whether a program lies where a reboot, or a cleaner, takes it away.
func Temporary(exe string) bool {
	return slices.ContainsFunc([]string{"/tmp/", "/var/tmp/", "/run/", "/dev/shm/"}, func(dir string) bool {
		return strings.HasPrefix(exe, dir)
	})
}

// Inside reports whether this process is one of a unit's.
func Inside(name string) bool {
	groups, err := os.ReadFile("/proc/self/cgroup")
	return err == nil && slices.ContainsFunc(strings.Fields(string(groups)), func(group string) bool {
		return strings.HasSuffix(group, "/"+name) || strings.Contains(group, "/"+name+"/")
	})
}
