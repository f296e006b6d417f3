package l2tp

import (
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
)

// The drop-ins of systemd. Debian has an init script for xl2tpd and no unit: the one that
// systemd makes of it stays active when xl2tpd has ended, and cannot be enabled over
// D-Bus. So the first makes it a unit like upstream's, and the second starts it at boot,
// whatever links to the script there are.
const (
	unitDropIn = "/etc/systemd/system/" + service + ".d/vpnctl.conf"
	bootDropIn = "/etc/systemd/system/multi-user.target.d/vpnctl-xl2tpd.conf"
)

// unitText ends the pppds along with xl2tpd, which one that is killed leaves behind, with
// interfaces that lead nowhere.
const unitText = file.Header + `; changes are overwritten.
[Unit]
After=network.target strongswan.service vpnctl.service

[Service]
Type=exec
RemainAfterExit=no
GuessMainPID=yes
KillMode=control-group
RuntimeDirectory=xl2tpd
ExecStartPre=-/bin/rm -f ` + pidFile + `
ExecStart=
ExecStart=/usr/sbin/xl2tpd -D -l
ExecStop=
ExecReload=
Restart=always
RestartSec=1
`

const bootText = file.Header + `; changes are overwritten.
[Unit]
Wants=` + service + `
`

// unitFiles are the drop-ins, where systemd runs.
func unitFiles(want []Section, d DaemonState) []desired.File {
	if len(want) == 0 || !d.Systemd {
		return nil
	}
	return []desired.File{
		{Path: unitDropIn, Data: []byte(unitText), Mode: 0o644},
		{Path: bootDropIn, Data: []byte(bootText), Mode: 0o644},
	}
}
