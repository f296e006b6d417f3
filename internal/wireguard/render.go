package wireguard

import (
	"fmt"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// Render writes an interface as a wg-quick(8) file. Show gives the text of a secret that
// may be seen; one that may not prints as "(secret)". A network namespace has no place
// in such a file and stands in a comment.
func Render(i *desired.Interface, show func(secret.ID) (string, bool)) string {
	r := &renderer{show: show}
	r.line("[Interface]")
	if i.Netns != "" {
		r.line("# in network namespace %s", oneLine(i.Netns))
	}
	r.list("Address", backend.FormatAddrs(i.Addresses))
	r.secret("PrivateKey", i.PrivateKey)
	r.number("ListenPort", i.ListenPort)
	r.number("FwMark", i.FirewallMark)
	r.number("MTU", i.MTU)
	switch {
	case i.Table.Off:
		r.field("Table", "off")
	case i.Table.Number != 0:
		r.number("Table", i.Table.Number)
	}
	r.list("DNS", append(append([]string(nil), i.DNS...), i.Search...))
	r.hooks("PreUp", i.Hooks.PreUp)
	r.hooks("PostUp", i.Hooks.PostUp)
	r.hooks("PreDown", i.Hooks.PreDown)
	r.hooks("PostDown", i.Hooks.PostDown)
	for j := range i.Peers {
		r.peer(&i.Peers[j])
	}
	return r.b.String()
}

// renderer writes lines. A value never spans two: what a name or a hook holds must not
// become a key of the file.
type renderer struct {
	b    strings.Builder
	show func(secret.ID) (string, bool)
}

func (r *renderer) line(format string, args ...any) {
	fmt.Fprintf(&r.b, format+"\n", args...)
}

func (r *renderer) field(key, value string) {
	if value != "" {
		r.line("%s = %s", key, oneLine(value))
	}
}

func (r *renderer) number(key string, n int) {
	if n != 0 {
		r.line("%s = %d", key, n)
	}
}

func (r *renderer) list(key string, values []string) { r.field(key, strings.Join(values, ", ")) }

func (r *renderer) hooks(key string, lines []string) {
	for _, l := range lines {
		r.field(key, l)
	}
}

func (r *renderer) secret(key string, id secret.ID) {
	if id == "" {
		return
	}
	text, ok := r.show(id)
	if !ok {
		text = "(secret)"
	}
	r.field(key, text)
}

func (r *renderer) peer(p *desired.Peer) {
	r.line("")
	r.line("[Peer]")
	r.line("# %s", oneLine(p.Name))
	r.field("PublicKey", p.PublicKey.String())
	r.secret("PresharedKey", p.PresharedKey)
	r.list("AllowedIPs", backend.FormatAddrs(p.AllowedIPs))
	r.field("Endpoint", endpointText(p.Endpoint))
	r.number("PersistentKeepalive", int(p.PersistentKeepalive/time.Second))
}

// oneLine replaces what would end the line.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case '\n', '\r', '\v', '\f', 0, '\u0085', '\u2028', '\u2029':
			return ' '
		}
		return c
	}, s)
}
