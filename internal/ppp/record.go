package ppp

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
)

// RecordFolder is where the hooks keep what pppd told them of each session, in a file of
// the interface's name.
const RecordFolder = "/run/vpnctl/sessions"

// record is one file of RecordFolder.
type record struct {
	object string
	link   bool
	user   string
	pid    int
}

// describe adds to a session what its own pppd said when it came up.
func (r *record) describe(s *Session) {
	if protocol, name, ok := parseObject(r.object); ok {
		s.Protocol, s.Name, s.Link = protocol, name, r.link
	}
	if r.user != "" {
		s.User = r.user
	}
}

// readRecord reads an interface's record; it reports false where there is none.
func readRecord(name string) (record, bool) {
	raw, err := os.ReadFile(filepath.Join(RecordFolder, name))
	if err != nil {
		return record{}, false
	}
	return parseRecord(string(raw)), true
}

// DropStale removes the records of sessions in a folder whose pppd has ended: one that is
// killed along with its hook leaves its own.
func DropStale(folder string) {
	pppds := host.Processes("pppd")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return // there are none
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		raw, err := os.ReadFile(path)
		if err == nil && !slices.Contains(pppds, parseRecord(string(raw)).pid) {
			_ = os.Remove(path) // the next hook tries again
		}
	}
}

// parseRecord reads lines of KEY=VALUE, as the hook writes them.
func parseRecord(text string) record {
	var r record
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "VPNCTL":
			r.object = value
		case "VPNCTL_LINK":
			r.link = value != ""
		case "PEERNAME", "VPNCTL_USER":
			r.user = value
		case "PPPD_PID":
			r.pid, _ = strconv.Atoi(value)
		}
	}
	return r
}
