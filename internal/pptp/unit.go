package pptp

import (
	"fmt"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// The unit that the package pptpd brings, and our drop-in for it.
const (
	service    = "pptpd.service"
	unitFolder = "/etc/systemd/system/"
	dropIn     = unitFolder + service + ".d/vpnctl.conf"
)

// dropInText leaves the sessions alone when the parent ends, and lets whoever starts it
// again (a restart by hand, an upgrade of the package) pass by the addresses that they hold.
// pptpd ends at SIGHUP, which counts as a success. It fails while no address is free: the
// start is tried until one is.
const dropInText = file.Header + `; changes are overwritten.
[Unit]
After=vpnctl.service
StartLimitIntervalSec=0

[Service]
ExecStart=
ExecStart=%s $DAEMON_OPTS
KillMode=process
Restart=always
RestartSec=2
`

// linkText is the unit of a link. Its process ends pppd, which tells the server.
const linkText = file.Header + `; changes are overwritten.
[Unit]
Description=PPTP link %s of vpnctl
After=network.target vpnctl.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=%s
SyslogIdentifier=vpnctl
KillMode=mixed
TimeoutStopSec=20
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
`

// The name of a link's unit.
const (
	linkPrefix = "vpnctl-pptp-"
	linkSuffix = ".service"
)

func linkUnit(name string) string { return linkPrefix + name + linkSuffix }

// unitFiles are those that are wanted where systemd runs.
func (b *Backend) unitFiles(w wanted, h *observed) ([]desired.File, error) {
	if !h.booted {
		return nil, nil
	}
	exe, err := b.Exe()
	if err != nil {
		return nil, fmt.Errorf("finding vpnctl: %w", err)
	}
	var out []desired.File
	add := func(path string, text func(exe string) []byte) {
		// One that cannot be read is as good as none: it is written anew.
		have, _ := b.Files.Read(path)
		out = append(out, desired.File{Path: path, Data: unit.Text(have.Data, exe, text), Mode: 0o644})
	}
	if w.server != nil && h.unit != "" {
		add(dropIn, func(exe string) []byte { return fmt.Appendf(nil, dropInText, unit.CommandLine(exe, ServerCommand)) })
	}
	for _, l := range w.links {
		add(unitFolder+linkUnit(l.Name), func(exe string) []byte {
			return fmt.Appendf(nil, linkText, l.Name, unit.CommandLine(exe, LinkCommand, l.Name))
		})
	}
	return out, nil
}
