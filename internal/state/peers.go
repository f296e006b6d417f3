package state

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// appendPeer writes a peer as one line, its fields between tabs: name, public key, id of
// the preshared key, host and port of the endpoint, keepalive, allowed IPs. No name of a
// topology has white space in it.
func appendPeer(b []byte, p *desired.Peer) []byte {
	b = append(append(b, p.Name...), '\t')
	b = append(base64.StdEncoding.AppendEncode(b, p.PublicKey[:]), '\t')
	b = append(append(b, p.PresharedKey...), '\t')
	b = append(append(b, p.Endpoint.Host...), '\t')
	b = append(strconv.AppendInt(b, int64(p.Endpoint.Port), 10), '\t')
	b = append(strconv.AppendInt(b, int64(p.PersistentKeepalive), 10), '\t')
	for i, a := range p.AllowedIPs {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.AppendTo(b)
	}
	return b
}

// parsePeers reads n peers and returns the text behind them. All allowed IPs share one
// array: most peers have but one.
func parsePeers(text string, n int) ([]desired.Peer, string, error) {
	if n == 0 {
		return nil, text, nil
	}
	// A peer takes more than its key: a damaged number asks for no memory.
	if n < 0 || n > len(text)/base64.StdEncoding.EncodedLen(32) {
		return nil, text, errShort
	}
	peers := make([]desired.Peer, n)
	prefixes := make([]netip.Prefix, 0, n)
	for i := range peers {
		line, rest, found := strings.Cut(text, "\n")
		if !found {
			return nil, text, errShort
		}
		var err error
		if prefixes, err = parsePeer(line, &peers[i], prefixes); err != nil {
			return nil, text, fmt.Errorf("peer %d: %w", i+1, err)
		}
		text = rest
	}
	return peers, text, nil
}

func parsePeer(line string, p *desired.Peer, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	var f [7]string
	for i := range f {
		var more bool
		if f[i], line, more = strings.Cut(line, "\t"); more == (i == len(f)-1) {
			return prefixes, errors.New("not as many fields as there should be")
		}
	}
	if err := parseKey(f[1], p.PublicKey[:]); err != nil {
		return prefixes, err
	}
	port, err := strconv.Atoi(f[4])
	if err != nil {
		return prefixes, err
	}
	keepalive, err := strconv.ParseInt(f[5], 10, 64)
	if err != nil {
		return prefixes, err
	}
	p.Name, p.PresharedKey, p.Endpoint = f[0], secret.ID(f[2]), desired.Endpoint{Host: f[3], Port: port}
	p.PersistentKeepalive = time.Duration(keepalive)
	at := len(prefixes)
	for list := f[6]; list != ""; {
		var one string
		one, list, _ = strings.Cut(list, ",")
		a, err := netip.ParsePrefix(one)
		if err != nil {
			return prefixes, err
		}
		prefixes = append(prefixes, a)
	}
	if len(prefixes) > at {
		p.AllowedIPs = prefixes[at:len(prefixes):len(prefixes)]
	}
	return prefixes, nil
}

func parseKey(text string, key []byte) error {
	var buf [48]byte
	if len(text) != base64.StdEncoding.EncodedLen(len(key)) {
		return errors.New("not a key")
	}
	n, err := base64.StdEncoding.Decode(buf[:], []byte(text))
	if err != nil || n != len(key) {
		return errors.New("not a key")
	}
	copy(key, buf[:n])
	return nil
}
