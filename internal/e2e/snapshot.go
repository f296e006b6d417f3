package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/watch"
)

// state is what of a host vpnctl could change, as sorted lines.
type state []string

// views are the commands that show the network, in the tools' own words.
var views = [][]string{
	{"ip", "-d", "-o", "link"},
	{"ip", "-o", "addr"},
	{"ip", "-4", "route", "show", "table", "all"},
	{"ip", "-6", "route", "show", "table", "all"},
	{"ip", "-4", "-d", "rule"},
	{"ip", "-6", "-d", "rule"},
	{"ip", "netns", "list"},
	{"iptables-nft-save"},
	{"ip6tables-nft-save"},
	{"iptables-legacy-save"},
	{"ip6tables-legacy-save"},
}

var (
	// volatile is what changes by itself: lifetimes, counters, comments with
	// the time, and how often a route was used.
	volatile = regexp.MustCompile(`(valid_lft|preferred_lft|expires) \S+|\[\d+:\d+\]|^#.*`)
	// dormant are chains that hold nothing: once listed, the base chains of a
	// table are there.
	dormant = regexp.MustCompile(`^(\*\w+|COMMIT|:[A-Z]+ ACCEPT.*)$`)
)

// snapshot describes a host: links, addresses, routes, rules, netfilter,
// sysctls, files, processes.
func snapshot(n *node) state {
	n.t.Helper()
	// While an address is being looked for on the wire (RFC 4862), it is not quite there.
	n.await("the ends of all duplicate address detection", func() bool {
		return !strings.Contains(n.Run("ip", "-o", "-6", "addr"), " tentative ")
	})
	var s state
	for _, view := range views {
		for line := range strings.Lines(n.Run(view...)) {
			line = strings.TrimSpace(volatile.ReplaceAllString(strings.TrimSpace(line), ""))
			if line != "" && !dormant.MatchString(line) {
				s = append(s, strings.Join(view, " ")+": "+line)
			}
		}
	}
	err := n.Do(func() error {
		return errors.Join(s.addSettings(), s.addFiles("/etc", "/var/lib/vpnctl", "/run"), s.addProcesses())
	})
	if err != nil {
		n.t.Fatalf("describing %s: %v", n.Name(), err)
	}
	slices.Sort(s)
	return s
}

// same fails the test where the host is not as it was.
func (s state) same(n *node, after string) {
	n.t.Helper()
	if diff := cmp.Diff([]string(s), []string(snapshot(n))); diff != "" {
		n.t.Errorf("%s after %s (-before +after):\n%s", n.Name(), after, diff)
	}
}

// addSettings adds the network's sysctls.
func (s *state) addSettings() error {
	return walk("/proc/sys/net", func(name string, _ fs.DirEntry) error {
		if strings.HasPrefix(name, "/proc/sys/net/netfilter/") || strings.HasPrefix(name, "/proc/sys/net/nf_") {
			return nil // connection tracking counts
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil // some can only be written
		}
		*s = append(*s, name+" = "+strings.TrimSpace(string(b)))
		return nil
	})
}

// addFiles adds the files below folders, by mode and content.
func (s *state) addFiles(dirs ...string) error {
	for _, dir := range dirs {
		err := walk(dir, func(name string, d fs.DirEntry) error {
			if transient(name, d) {
				return nil
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			line := fmt.Sprintf("%s %s", name, fi.Mode())
			if fi.Mode().IsRegular() {
				sum, err := contents.sum(name, fi)
				if err != nil {
					return err
				}
				line += " " + sum
			}
			*s = append(*s, line)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// contents holds the sum of each file that was read, also on other hosts, which
// have most files in common: reading them all takes the virtual machine ten
// seconds.
var contents sums

// sums are check sums of files.
type sums struct {
	mu    sync.Mutex
	known map[string]string
}

// sum returns the sum of a file's content, which is the same while the file is.
func (s *sums) sum(name string, fi fs.FileInfo) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := name
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		key += fmt.Sprint(" ", st.Ino, st.Size, st.Ctim)
	}
	if sum, ok := s.known[key]; ok {
		return sum, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if s.known == nil {
		s.known = make(map[string]string)
	}
	s.known[key] = fmt.Sprintf("%x", sha256.Sum256(b))
	return s.known[key], nil
}

// transient reports what may differ: the topology, which the tests change, the
// history, where a failed apply leaves an entry, and what is left in /run,
// which is gone after a reboot: empty folders, the lock, which names its last
// holder, charon's socket and pppd's memory, which they do not remove.
func transient(name string, d fs.DirEntry) bool {
	return strings.HasPrefix(name, filepath.Dir(siteFile)) ||
		strings.HasPrefix(name, "/var/lib/vpnctl/history/") ||
		strings.HasPrefix(name, "/run/") && (d.IsDir() || name == "/run/vpnctl/lock" || name == "/run/charon.vici" || name == "/run/pppd2.tdb")
}

// addProcesses adds what runs on the host, by its command line, but what watch asks for a
// moment: daemons that it starts are nobody's children.
func (s *state) addProcesses() error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		// One without a command line has ended, and waits for its parent.
		if line := commandLine(dir); line != "" && !isWatch(commandLine(parent(dir))) {
			*s = append(*s, "process "+line)
		}
	}
	return err
}

func isWatch(line string) bool { return strings.Contains(line+" ", " "+watch.Command+" ") }

func commandLine(proc string) string {
	b, _ := os.ReadFile(proc + "/cmdline") // it may have ended
	return strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
}

// parent is the folder of a process's parent.
func parent(proc string) string {
	b, _ := os.ReadFile(proc + "/status")
	_, rest, _ := strings.Cut(string(b), "\nPPid:")
	pid, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	return "/proc/" + pid
}

// walk calls fn for every file below a folder that may be missing. Folders that
// are empty count as files.
func walk(dir string, fn func(name string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(dir, "/proc/") {
			return nil
		}
		return fn(name, d)
	})
}
