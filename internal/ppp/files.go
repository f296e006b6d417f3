package ppp

import (
	_ "embed" // the hooks are files of their own, so that a shell can check them
	"fmt"
	"io/fs"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// The paths of what is not one tunnel's.
const (
	upHookPath   = folder + "/ip-up.d/vpnctl"
	downHookPath = folder + "/ip-down.d/vpnctl"
	modulesPath  = "/etc/modules-load.d/vpnctl.conf"
	networksPath = folder + "/vpnctl-networks"
)

//go:embed hooks/ip-up
var upHook []byte

//go:embed hooks/ip-down
var downHook []byte

// plainFiles are the files that everybody may read.
func plainFiles(s *desired.State) []desired.File {
	var out []desired.File
	add := func(path string, mode fs.FileMode, data []byte) {
		out = append(out, desired.File{Path: path, Data: data, Mode: mode})
	}
	p := &s.PPP
	radius := false
	var networks []byte
	for i := range p.Servers {
		server := &p.Servers[i]
		add(OptionsPath(&server.PPPTunnel), 0o644, RenderOptions(server))
		networks = append(networks, renderNetworks(server)...)
		if len(server.Radius) > 0 {
			add(radiusConfigPath(&server.PPPTunnel), 0o644, renderRadius(s.Node, server))
			radius = true
		}
	}
	if len(networks) > 0 {
		add(networksPath, 0o644, append([]byte(scriptHeader), networks...))
	}
	if radius {
		add(radiusDictionaryPath, 0o644, radiusDictionary)
	}
	for i := range p.Links {
		add(PeerPath(&p.Links[i].PPPTunnel), 0o644, RenderPeer(&p.Links[i]))
	}
	if !p.IsZero() {
		add(upHookPath, 0o755, upHook)
		add(downHookPath, 0o755, downHook)
	}
	if len(s.Modules) > 0 {
		add(modulesPath, 0o644, renderModules(s.Modules))
	}
	return out
}

// renderNetworks are lines of server, networks and user, apart by tabs, which no name has:
// what the hook looks up when somebody has logged in.
func renderNetworks(s *desired.PPPServer) []byte {
	var out []byte
	for _, n := range s.Networks {
		out = fmt.Appendf(out, "%s\t%s\t%s\n", s.Object(), strings.Join(backend.FormatAddrs(n.Prefixes), " "), n.User)
	}
	return out
}

// secretFiles are the files of which nobody but root may know the content. What value
// does not tell is left out.
func secretFiles(p *desired.PPP, value func(secret.ID) (secret.Value, error)) ([]desired.File, error) {
	var out []desired.File
	for i := range p.Servers {
		s := &p.Servers[i]
		if len(s.Radius) == 0 {
			continue
		}
		data, err := renderRadiusServers(s, value)
		if err != nil {
			return nil, err
		}
		out = append(out, desired.File{Path: radiusServersPath(&s.PPPTunnel), Data: data, Mode: 0o600})
	}
	return out, nil
}

// Render is every file of this backend, whole, for a host that has nothing of it; reveal
// reports false for a secret that must not show.
func Render(s *desired.State, reveal func(secret.ID) (string, bool)) ([]desired.File, error) {
	value := func(id secret.ID) (secret.Value, error) {
		text, ok := reveal(id)
		if !ok {
			text = string(masked)
		}
		return secret.New([]byte(text)), nil
	}
	files := plainFiles(s)
	more, err := secretFiles(&s.PPP, value)
	if err != nil {
		return nil, err
	}
	files = append(files, more...)
	for _, path := range []string{chapSecrets, papSecrets} {
		entries, err := wantedEntries(&s.PPP, value, path == papSecrets)
		if err != nil {
			return nil, err
		}
		if block := renderBlock(entries); block != "" {
			files = append(files, desired.File{Path: path, Data: []byte(block), Mode: 0o600})
		}
	}
	return files, nil
}

// masked stands for a secret that must not show.
const masked = "(secret)"

// scriptHeader begins a file whose comments are marked as those of a shell.
const scriptHeader = file.Header + "; changes are overwritten.\n"
