package userspace

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// runDir is vpnctl's own (contract, section 3); none but root looks into it.
const runDir = "/run/vpnctl"

func runFile(name, suffix string) string {
	return filepath.Join(runDir, "wireguard-"+name+suffix)
}

// writePID notes this process as the interface's, and forgets why its predecessor ended.
func writePID(name string) error {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return err
	}
	takeReason(name)
	return os.WriteFile(runFile(name, ".pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
}

// removePID is done at the very end. A file that stays is found out by the pid in it.
func removePID(name string) { _ = os.Remove(runFile(name, ".pid")) }

// leaveReason writes down what ended this process. Its standard error leads nowhere, and
// its starter may be long gone; without the file the reason is only missing.
func leaveReason(name string, reason error) {
	if checkName(name) != nil || os.MkdirAll(runDir, 0o700) != nil {
		return
	}
	_ = os.WriteFile(runFile(name, ".reason"), []byte(reason.Error()+"\n"), 0o600)
}

// takeReason reads the last words of a process, "" for none, and removes them.
func takeReason(name string) string {
	path := runFile(name, ".reason")
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	_ = os.Remove(path)
	return strings.TrimSpace(string(b))
}

// Running reports whether a process of ours carries the interface, in whatever network
// namespace its link is.
func (l Launcher) Running(name string) bool {
	_, err := findProcess(name)
	return err == nil
}

// findProcess returns the pid of the interface's process; none is fs.ErrNotExist. A pid
// that another program has got since is none.
func findProcess(name string) (int, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(runFile(name, ".pid"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", runFile(name, ".pid"), err)
	}
	argv, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if !bytes.HasSuffix(argv, []byte("\x00"+Command+"\x00"+name+"\x00")) {
		return 0, fs.ErrNotExist
	}
	return pid, nil
}
