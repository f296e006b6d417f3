package l2tp

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// ConfPath is what xl2tpd reads.
const ConfPath = "/etc/xl2tpd/xl2tpd.conf"

// The kinds of sections: a server, and a link.
const (
	kindLNS = "lns"
	kindLAC = "lac"
)

// redialTimeout is the time between two attempts to dial.
const redialTimeout = 5 // seconds

// Section is one section of xl2tpd.conf, of the server or of a link.
type Section struct {
	Kind   string `json:"kind"`   // lns or lac
	Tunnel string `json:"tunnel"` // its name in the topology
	// Name is xl2tpd's for it. It tells the content, for xl2tpd lists nothing else.
	Name    string   `json:"name"`
	Options []string `json:"options"` // "ip range = 10.0.0.10-10.0.0.20", in their order
}

// prefix begins the names of our sections.
const prefix = "vpnctl-"

// newSection names a section by what is in it.
func newSection(kind, tunnel string, options []string) Section {
	sum := sha256.Sum256([]byte(kind + "\n" + strings.Join(options, "\n")))
	return Section{Kind: kind, Tunnel: tunnel, Name: fmt.Sprintf("%s%s-%x", prefix, tunnel, sum[:4]), Options: options}
}

// nameOf takes a name of xl2tpd's apart: the tunnel in the topology and the name as
// newSection made it, without what tells it from an older one of the same content. It
// reports false for a name that is not ours.
func nameOf(name string) (tunnel, base string, ok bool) {
	base, _, _ = strings.Cut(name, ".")
	rest, ours := strings.CutPrefix(base, prefix)
	dash := strings.LastIndexByte(rest, '-')
	if !ours || dash <= 0 || len(rest)-dash-1 != 8 {
		return "", "", false
	}
	return rest[:dash], base, true
}

// sections are those that a node shall have.
func sections(p *desired.PPP) []Section {
	var out []Section
	if s := p.Server(desired.L2TP); s != nil {
		out = append(out, serverSection(s))
	}
	for _, l := range p.LinksOf(desired.L2TP) {
		out = append(out, linkSection(&l))
	}
	return out
}

func serverSection(s *desired.PPPServer) Section {
	// From everywhere: a named section serves nobody without it.
	options := []string{"lac = 0.0.0.0-255.255.255.255"}
	// As many as there may be sessions: xl2tpd has no other limit.
	slots := s.Slots()
	for _, r := range slots {
		options = append(options, "ip range = "+r.String())
	}
	if len(slots) == 0 {
		options = append(options, "assign ip = no")
	}
	if s.LocalIP.IsValid() {
		options = append(options, "local ip = "+s.LocalIP.String())
	}
	return newSection(kindLNS, s.Name, append(options,
		"require authentication = yes",
		"name = "+s.AuthName(),
		"pppoptfile = "+ppp.OptionsPath(&s.PPPTunnel),
		"length bit = yes",
		"pass peer = yes", // who calls, for the hooks of pppd
	))
}

func linkSection(l *desired.PPPLink) Section {
	return newSection(kindLAC, l.Name, []string{
		"lns = " + l.Server,
		"autodial = yes",
		"redial = yes",
		fmt.Sprintf("redial timeout = %d", redialTimeout),
		"pppoptfile = " + ppp.PeerPath(&l.PPPTunnel),
		"length bit = yes",
		"pass peer = yes",
	})
}

// Render is xl2tpd.conf for a node, none where the node has no L2TP.
func Render(p *desired.PPP) []desired.File { return confFile(sections(p)) }

func confFile(all []Section) []desired.File {
	if len(all) == 0 {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s; changes are overwritten.\n[global]\nport = %d\naccess control = no\n", file.SemicolonHeader, port)
	for _, s := range all {
		fmt.Fprintf(&b, "\n[%s %s]\n", s.Kind, s.Name)
		for _, o := range s.Options {
			fmt.Fprintln(&b, o)
		}
	}
	return []desired.File{{Path: ConfPath, Data: b.Bytes(), Mode: 0o644}}
}

// port is L2TP's, in UDP.
const port = 1701

// parse reads the sections of a file that Render wrote, whatever has been done to it since:
// what makes no sense is left out.
func parse(data []byte) []Section {
	var out []Section
	var current *Section
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, ";")
		line = strings.TrimSpace(line)
		if head, ok := strings.CutPrefix(line, "["); ok {
			current = nil
			kind, name, _ := strings.Cut(strings.TrimSuffix(head, "]"), " ")
			tunnel, _, ours := nameOf(name)
			if ours && (kind == kindLNS || kind == kindLAC) {
				out = append(out, Section{Kind: kind, Tunnel: tunnel, Name: name})
				current = &out[len(out)-1]
			}
			continue
		}
		if current != nil && line != "" {
			current.Options = append(current.Options, line)
		}
	}
	return out
}

// edited reports whether a section holds something else than its name says: nobody knows
// then which of both xl2tpd has read.
func (s *Section) edited() bool { return newSection(s.Kind, s.Tunnel, s.Options).Name != s.Name }
