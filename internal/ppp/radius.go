package ppp

import (
	_ "embed" // the dictionary
	"fmt"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// radiusDictionary has the attributes that pppd's plugin sends and understands: its own
// package brings none, and a plugin without a dictionary lets nobody in.
//
//go:embed radius/dictionary
var radiusDictionary []byte

const radiusDictionaryPath = folder + "/vpnctl.radius-dictionary"

// radiusConfigPath is where a server's RADIUS client has its settings.
func radiusConfigPath(t *desired.PPPTunnel) string { return folder + "/" + t.AuthName() + ".radius" }

// radiusServersPath is where it has the secrets that it shares with RADIUS servers.
func radiusServersPath(t *desired.PPPTunnel) string { return radiusConfigPath(t) + "-servers" }

// The patience of the RADIUS client, a server: whoever logs in waits about half a minute.
const (
	radiusTimeout = 5 // seconds
	radiusRetries = 2
)

// renderRadius is the configuration of pppd's RADIUS client for one server of a node. Told no
// NAS-Identifier (RFC 2865, section 5.32), the client looks its own host name up for a
// NAS-IP-Address, and lets nobody in where that does not resolve.
func renderRadius(node string, s *desired.PPPServer) []byte {
	var b strings.Builder
	b.WriteString(scriptHeader)
	fmt.Fprintf(&b, "nas_identifier %s\n", node)
	for _, r := range s.Radius {
		fmt.Fprintf(&b, "authserver %s:%d\n", r.Host, r.AuthPort)
	}
	for _, r := range s.Radius {
		fmt.Fprintf(&b, "acctserver %s:%d\n", r.Host, r.AcctPort)
	}
	fmt.Fprintf(&b, "servers %s\n", radiusServersPath(&s.PPPTunnel))
	fmt.Fprintf(&b, "dictionary %s\n", radiusDictionaryPath)
	fmt.Fprintf(&b, "radius_timeout %d\nradius_retries %d\n", radiusTimeout, radiusRetries)
	// Both are asked for. Without a file the client draws the number of each request, which
	// has a port of its own anyway; and there are no terminals to map.
	b.WriteString("seqfile /dev/null\nmapfile /dev/null\nauth_order radius\n")
	return []byte(b.String())
}

// renderRadiusServers is the file of the RADIUS client that has the secrets.
func renderRadiusServers(s *desired.PPPServer, value func(secret.ID) (secret.Value, error)) ([]byte, error) {
	var b strings.Builder
	b.WriteString(scriptHeader)
	for _, r := range s.Radius {
		v, err := value(r.Secret)
		if err != nil {
			return nil, fmt.Errorf("reading secret of RADIUS server %s: %w", r.Host, err)
		}
		fmt.Fprintf(&b, "%s %s\n", r.Host, v.Reveal())
	}
	return []byte(b.String()), nil
}
