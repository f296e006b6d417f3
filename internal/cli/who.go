package cli

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/state"
)

// operator is who runs this command, behind sudo and SSH, as far as can be known.
func (g *globals) operator() state.Who {
	var w state.Who
	if u, err := user.Current(); err == nil {
		w.User = u.Username
	}
	if name, ok := g.Getenv("SUDO_USER"); ok && name != "" {
		w.User = name
	}
	connection, ok := g.Getenv("SSH_CONNECTION")
	if !ok {
		// sudo takes it out of the environment; the shell that called sudo has it.
		connection = inherited("/proc", os.Getppid(), "SSH_CONNECTION")
	}
	w.From, _, _ = strings.Cut(connection, " ")
	return w
}

// ancestors bounds the way up, for process ids that are used again meanwhile.
const ancestors = 32

// inherited is a variable of the nearest ancestor that has it, beginning with pid; "" for
// none.
func inherited(proc string, pid int, name string) string {
	for range ancestors {
		if pid <= 1 {
			return ""
		}
		dir := filepath.Join(proc, strconv.Itoa(pid))
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil {
			return "" // it ended, or is not ours to look at
		}
		for v := range strings.SplitSeq(string(environ), "\x00") {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		if pid, err = parentOf(filepath.Join(dir, "stat")); err != nil {
			return ""
		}
	}
	return ""
}

// parentOf reads the fourth field of proc(5)'s stat, counted from behind the name, which
// may hold anything.
func parentOf(stat string) (int, error) {
	b, err := os.ReadFile(stat)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 2 {
		return 0, os.ErrInvalid
	}
	return strconv.Atoi(fields[1])
}
