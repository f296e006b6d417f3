package pptp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// The files of pptpd.
const (
	ConfPath = "/etc/pptpd.conf"
	// LoadedPath is what the running parent has read: ConfPath without the addresses that
	// older sessions held when it was started.
	LoadedPath = runDir + "/pptpd.conf"

	runDir  = "/run/vpnctl"
	pidPath = runDir + "/pptpd.pid"
)

// config is what a pptpd.conf of ours says.
type config struct {
	options string // the option file of pppd
	local   netip.Addr
	// pool is what pptpd hands out, one address a session, each range within one /24.
	pool []desired.AddrRange
	// places says that every user has an address of his own: what pptpd hands out only
	// counts the sessions, and two may well have the same.
	places bool
}

func configOf(s *desired.PPPServer) config {
	c := config{options: ppp.OptionsPath(&s.PPPTunnel), local: s.LocalIP, places: len(s.Pools) == 0}
	for _, r := range s.Slots() {
		c.pool = append(c.pool, split(r)...)
	}
	c.pool = fit(c.pool)
	return c
}

// Render is a server's pptpd.conf.
func Render(s *desired.PPPServer) []byte {
	c := configOf(s)
	return c.text(file.Header + "; changes are overwritten.")
}

// placesMark is the line that says what config.places does.
const placesMark = "# Every user has an address of his own: remoteip only counts the sessions."

// text is the file. pptpd serves 100 sessions where `connections` does not say otherwise,
// and where no pidfile is named it leaves one in /run.
func (c *config) text(header string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", header)
	if c.places {
		fmt.Fprintln(&b, placesMark)
	}
	fmt.Fprintf(&b, "option %s\nlocalip %s\nremoteip %s\nconnections %d\npidfile %s\n", c.options, c.local, list(c.pool), size(c.pool), pidPath)
	return b.Bytes()
}

// maxLine is the longest line that pptpd reads (MAX_CONFIG_STRING_SIZE in its defaults.h,
// less what fgets(3) needs). It leaves a longer one out, and takes addresses of its own.
const maxLine = 509

// fit leaves as many ranges as one line carries, the largest ones.
func fit(pool []desired.AddrRange) []desired.AddrRange {
	bySize := slices.Clone(pool)
	slices.SortStableFunc(bySize, func(a, b desired.AddrRange) int { return cmp.Compare(b.Size(), a.Size()) })
	left := maxLine - len("remoteip")
	var out []desired.AddrRange
	for _, r := range bySize {
		if need := 1 + len(short(r)); need <= left {
			left -= need
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b desired.AddrRange) int { return a.From.Compare(b.From) })
	return out
}

// split cuts a range where the third byte changes: pptpd's ranges are of one byte.
func split(r desired.AddrRange) []desired.AddrRange {
	var out []desired.AddrRange
	for from := r.From; ; {
		last := from.As4()
		last[3] = 255
		to := netip.AddrFrom4(last)
		if !to.Less(r.To) {
			return append(out, desired.AddrRange{From: from, To: r.To})
		}
		out = append(out, desired.AddrRange{From: from, To: to})
		from = to.Next()
	}
}

// short is a range as pptpd has it: "192.168.0.10-20".
func short(r desired.AddrRange) string {
	if r.From == r.To {
		return r.From.String()
	}
	return fmt.Sprintf("%s-%d", r.From, r.To.As4()[3])
}

func list(pool []desired.AddrRange) string {
	words := make([]string, len(pool))
	for i, r := range pool {
		words[i] = short(r)
	}
	return strings.Join(words, ",")
}

func size(pool []desired.AddrRange) int {
	n := 0
	for _, r := range pool {
		n += r.Size()
	}
	return n
}

// without is a pool without some addresses.
func without(pool []desired.AddrRange, held []netip.Addr) []desired.AddrRange {
	held = slices.SortedFunc(slices.Values(held), netip.Addr.Compare)
	var out []desired.AddrRange
	for _, r := range pool {
		from, rest := r.From, true
		for _, a := range slices.Compact(held) {
			if a.Less(from) || r.To.Less(a) {
				continue
			}
			if from.Less(a) {
				out = append(out, desired.AddrRange{From: from, To: a.Prev()})
			}
			rest = a.Less(r.To)
			from = a.Next()
		}
		if rest {
			out = append(out, desired.AddrRange{From: from, To: r.To})
		}
	}
	return out
}

// errNotOurs is the error of a pptpd.conf that vpnctl has not written.
var errNotOurs = errors.New("this pptpd.conf is not vpnctl's")

// parse reads what text has written.
func parse(data []byte) (config, error) {
	var c config
	if !bytes.HasPrefix(data, []byte(file.Header)) {
		return c, errNotOurs
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if line == placesMark {
			c.places = true
		}
		key, value, _ := strings.Cut(line, " ")
		var err error
		switch key {
		case "option":
			c.options = value
		case "localip":
			c.local, err = netip.ParseAddr(value)
		case "remoteip":
			c.pool, err = parseList(value)
		}
		if err != nil {
			return c, fmt.Errorf("reading %s of pptpd.conf: %w", key, err)
		}
	}
	if c.options == "" || !c.local.Is4() || len(c.pool) == 0 {
		return c, errNotOurs
	}
	return c, nil
}

func parseList(text string) ([]desired.AddrRange, error) {
	var out []desired.AddrRange
	for word := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(word, "-")
		from, err := netip.ParseAddr(first)
		if err != nil {
			return nil, err
		}
		r := desired.AddrRange{From: from, To: from}
		if isRange {
			r.To, err = netip.ParseAddr(first[:strings.LastIndexByte(first, '.')+1] + last)
			if err != nil {
				return nil, err
			}
		}
		if !r.From.Is4() || r.To.Less(r.From) {
			return nil, fmt.Errorf("%q is no range", word)
		}
		out = append(out, r)
	}
	return out, nil
}

// loadedHeader begins the file that a parent reads; the sum of ConfPath follows.
const loadedHeader = file.Header + " for one pptpd, of " + ConfPath + " with sha256 "

// Load makes of ConfPath's content what a parent is to read while some addresses are held,
// and counts the sessions that it can serve. With none pptpd must not be started: it would
// take addresses of its own.
func Load(conf []byte, held []netip.Addr) (text []byte, sessions int, err error) {
	c, err := parse(conf)
	if err != nil {
		return nil, 0, err
	}
	if !c.places {
		c.pool = fit(without(c.pool, held))
	}
	return c.text(loadedHeader + digest(conf)), size(c.pool), nil
}

func digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// source is the digest of the file that a loaded one was made of, "" for any other file.
func source(loaded []byte) string {
	line, _, _ := strings.Cut(string(loaded), "\n")
	sum, ok := strings.CutPrefix(line, loadedHeader)
	if !ok {
		return ""
	}
	return sum
}
