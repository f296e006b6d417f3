package ppp

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// The names of the option files, which pppd's command line holds.
const (
	optionsPrefix = folder + "/options.vpnctl-"
	peerPrefix    = "vpnctl-"
)

// parseArgv reads what pppd's command line tells of its session. xl2tpd and pptpd name
// the pool's address there, also for a user with one of his own: addresses are the
// kernel's to tell.
func parseArgv(argv []string) Session {
	var s Session
	for i, word := range argv {
		next := ""
		if i+1 < len(argv) {
			next = argv[i+1]
		}
		switch word {
		case "pppol2tp_tunnel_id":
			n, _ := strconv.ParseUint(next, 10, 32)
			s.Protocol, s.Tunnel = desired.L2TP, uint32(n)
		case "plugin":
			if p := plugins[strings.TrimSuffix(filepath.Base(next), ".so")]; p != "" {
				s.Protocol = p
			}
		case "file":
			if t, ok := strings.CutPrefix(next, optionsPrefix); ok {
				s.own(t, false)
			} else if t, ok := strings.CutPrefix(next, peersFolder+"/"+peerPrefix); ok {
				s.own(t, true)
			}
		case "call":
			if t, ok := strings.CutPrefix(next, peerPrefix); ok {
				s.own(t, true)
			}
		case "pty":
			if strings.HasPrefix(filepath.Base(strings.Fields(next + " x")[0]), "pptp") {
				s.Protocol = desired.PPTP
			}
		case "remotenumber", "ipparam":
			// pptpd's way to say who calls.
			if a, err := netip.ParseAddr(next); err == nil {
				s.Outer = a.String()
			}
		case "user":
			s.User = next
		}
	}
	return s
}

// plugins are those that say what carries the session.
var plugins = map[string]desired.Tunnelling{"pppol2tp": desired.L2TP, "pptp": desired.PPTP, "pptpd-logwtmp": desired.PPTP}

// own takes the tunnel that an option file is named by ("l2tp-office").
func (s *Session) own(file string, link bool) {
	if protocol, name, ok := parseObject(strings.Replace(file, "-", "/", 1)); ok {
		s.Protocol, s.Name, s.Link = protocol, name, link
	}
}
