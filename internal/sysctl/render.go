package sysctl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
)

// header tells whose the file is, and what becomes of changes.
const header = file.Header + "; changes are overwritten.\n"

// File is the file that makes settings last beyond a reboot.
func File(want map[string]string) desired.File {
	return desired.File{Path: path, Data: render(want), Mode: 0o644}
}

// render writes settings as sysctl.d(5) reads them. Keys keep their slashes: the first
// separator decides, and dots belong to interface names. Their order is that of setting.
func render(want map[string]string) []byte {
	var b strings.Builder
	b.WriteString(header)
	for _, key := range order(slices.Collect(maps.Keys(want)), setRank) {
		fmt.Fprintf(&b, "%s = %s\n", key, want[key])
	}
	return []byte(b.String())
}
