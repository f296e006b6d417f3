package boot

import (
	"context"
	"fmt"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Command is the subcommand that the units run; with GuardFlag it does what needs no
// network.
const (
	Command   = "boot"
	GuardFlag = "--guard"
)

// The units.
const (
	guardUnit = "vpnctl-guard.service"
	mainUnit  = "vpnctl.service"
	folder    = "/etc/systemd/system/"
)

// texts are the unit files.
//
// The guard stands before anything configures an interface. It comes after those who load
// rules of their own there, for some of them empty the tables first.
//
// The other one waits for no address and no DNS. That it is ordered ahead of the daemons
// lets them read what it has written; that it is up when it has notified lets them start
// even though something was left out, which it then goes on trying where nobody watches.
// One thing left out is no failure of the unit: status tells.
var texts = map[string]string{
	guardUnit: file.Header + `; changes are overwritten.
[Unit]
Description=vpnctl: guards against clear text, before there is a network
DefaultDependencies=no
RequiresMountsFor=%[2]s
After=local-fs.target systemd-modules-load.service systemd-sysctl.service
After=netfilter-persistent.service nftables.service iptables.service ufw.service firewalld.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%[1]s
SuccessExitStatus=1
TimeoutStartSec=3min
SyslogIdentifier=vpnctl

[Install]
WantedBy=multi-user.target
`,
	mainUnit: file.Header + `; changes are overwritten.
[Unit]
Description=vpnctl: the topology that was applied last
RequiresMountsFor=%[2]s
After=network.target vpnctl-guard.service
Before=strongswan.service strongswan-starter.service xl2tpd.service pptpd.service

[Service]
Type=notify
RemainAfterExit=yes
ExecStart=%[1]s
SuccessExitStatus=1
TimeoutStartSec=5min
SyslogIdentifier=vpnctl

[Install]
WantedBy=multi-user.target
`,
}

func object(name string) string { return string(Kind) + "/" + name }

// wanted are the units that the topology needs, sorted.
func (b *Backend) wanted(in backend.Input) []string {
	var names []string
	if in.Want.NeedsGuard() {
		names = append(names, guardUnit)
	}
	if in.Want.NeedsBoot() {
		names = append(names, mainUnit)
	}
	if !b.Booted() {
		return nil
	}
	return names
}

// files are the files of some units.
func (b *Backend) files(names []string) ([]desired.File, error) {
	var files []desired.File
	for _, name := range names {
		exe, err := b.Exe()
		if err != nil {
			return nil, fmt.Errorf("finding vpnctl: %w", err)
		}
		text := func(exe string) []byte {
			words := []string{exe, Command, "--state-dir", b.StateDir}
			if name == guardUnit {
				words = append(words, GuardFlag)
			}
			return fmt.Appendf(nil, texts[name], unit.CommandLine(words...), unit.CommandLine(b.StateDir, exe))
		}
		// One that cannot be read is as good as none: it is written anew.
		have, _ := b.Files.Read(folder + name)
		files = append(files, desired.File{Path: folder + name, Data: unit.Text(have.Data, exe, text), Mode: 0o644})
	}
	return files, nil
}

// noteTemporary tells in the plan of a vpnctl that will not be there when it is needed.
func (b *Backend) noteTemporary(steps []backend.Step) {
	exe, err := b.Exe()
	if err != nil || !unit.Temporary(exe) {
		return
	}
	for i := range steps {
		for k := range steps[i].Changes {
			if c := &steps[i].Changes[k]; c.Action != backend.Delete && c.Note == "" {
				c.Note = exe + " may be gone at the next boot: install vpnctl, and apply with that"
			}
		}
	}
}

// unitSet is which of the units start at boot.
type unitSet struct {
	Enabled []string `json:"enabled"`
}

// The operations: of what starts at boot, and of what systemd knows of unit files.
const (
	unitOp   = "boot.units"
	reloadOp = "boot.reload"
)

// enabled are those of our units that start at boot.
func (b *Backend) enabled(ctx context.Context) ([]string, error) {
	if !b.Booted() {
		return nil, nil
	}
	m, err := b.Units(ctx)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var names []string
	for _, name := range []string{guardUnit, mainUnit} {
		state, err := m.FileState(ctx, name)
		if err != nil {
			return nil, err
		}
		if state == "enabled" {
			names = append(names, name)
		}
	}
	return names, nil
}

// enabling plans what shall start at boot and does not, and the other way round.
func enabling(have, want []string) (enable, disable []backend.Step) {
	if missing := without(want, have); len(missing) > 0 {
		enable = []backend.Step{{
			Phase: backend.PhaseFile, Changes: changes(backend.Create, missing), Op: backend.Op{Kind: unitOp, To: &unitSet{missing}},
		}}
	}
	if surplus := without(have, want); len(surplus) > 0 {
		disable = []backend.Step{{
			Phase: backend.PhaseRemoveFile, Changes: changes(backend.Delete, surplus), Op: backend.Op{Kind: unitOp, From: &unitSet{surplus}},
		}}
	}
	return enable, disable
}

func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

func changes(a backend.Action, names []string) []backend.Change {
	var all []backend.Change
	for _, name := range names {
		all = append(all, backend.Change{Action: a, Object: object(name)})
	}
	return all
}

// applyUnit lets units start at boot, or no longer. It starts none now: what they would do
// is what this apply does. One that has come up at boot is stopped along with its file, or
// systemd would go on listing it; but no process stops the unit that it runs in.
func (b *Backend) applyUnit(ctx context.Context, from, to *unitSet) error {
	m, err := b.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Reload(ctx); err != nil {
		return err
	}
	if to != nil {
		return each(to.Enabled, func(name string) error { return unit.SetEnabled(ctx, m, name, true) })
	}
	return each(from.Enabled, func(name string) error {
		if !b.Inside(name) {
			if err := m.StopAndWait(ctx, name); err != nil {
				return err
			}
		}
		return unit.SetEnabled(ctx, m, name, false)
	})
}

func each(names []string, do func(name string) error) error {
	for _, name := range names {
		if err := do(name); err != nil {
			return err
		}
	}
	return nil
}

// applyReload tells systemd that files came or went.
func (b *Backend) applyReload(ctx context.Context, _, _ *unitSet) error {
	if !b.Booted() {
		return nil
	}
	m, err := b.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Reload(ctx)
}
