package nat

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// rule is one rule in normal form: what it says, by option. Two rules that mean the same
// are equal, however they were written.
//
// Keys are the options as iptables-save writes them, those of a match or target behind
// its name ("-s", "policy --pol", "SNAT --to-source"), with "! " ahead where negated. A
// match without options is "-m NAME". Values are in the syntax of iptables-restore, quoted
// where they must be.
type rule map[string]string

// The options that every rule may have, and the comment, by which we know our own.
const (
	optSource  = "-s"
	optDest    = "-d"
	optIn      = "-i"
	optOut     = "-o"
	optProto   = "-p"
	optJump    = "-j"
	optComment = "comment --comment"
)

// maxComment is how many bytes the kernel keeps of a comment, without its terminator.
const maxComment = 255

// comment is the rule's comment, unquoted.
func (r rule) comment() string { return unquote(r[optComment]) }

// setComment puts the comment, cut to what the kernel keeps of it, on one line whatever
// it holds.
func (r rule) setComment(s string) {
	s = strings.Map(printable, s)
	if len(s) > maxComment {
		s = s[:maxComment]
	}
	r[optComment] = quote(s)
}

func printable(c rune) rune {
	if c < ' ' || c == 0x7f {
		return '?'
	}
	return c
}

// String renders the rule for iptables-restore, without its chain. Equal rules render
// equally.
func (r rule) String() string {
	words := r.appendOptions(nil, optSource, optDest, optIn, optOut, "-f", optProto)
	last := ""
	for _, key := range r.matchKeys() {
		name, opt, _ := strings.Cut(strings.TrimPrefix(key, "! "), " ")
		if name == "-m" {
			words = append(words, key)
			continue
		}
		// A repeated option belongs to a match of its own; see put.
		if plain := strings.TrimRight(opt, "'"); name != last || plain != opt {
			words = append(words, "-m "+name)
			last, opt = name, plain
		}
		words = appendOption(words, strings.HasPrefix(key, "! "), opt, r[key])
	}
	words = r.appendOptions(words, optJump, "-g")
	for _, key := range slices.Sorted(maps.Keys(r)) {
		if name, opt, ok := strings.Cut(strings.TrimPrefix(key, "! "), " "); ok && r.isTarget(name) {
			words = appendOption(words, strings.HasPrefix(key, "! "), opt, r[key])
		}
	}
	return strings.Join(words, " ")
}

// appendOptions renders those of the options that the rule has, negated or not.
func (r rule) appendOptions(words []string, opts ...string) []string {
	for _, opt := range opts {
		for _, not := range []string{"", "! "} {
			if v, ok := r[not+opt]; ok {
				words = appendOption(words, not != "", opt, v)
			}
		}
	}
	return words
}

func appendOption(words []string, not bool, opt, value string) []string {
	if not {
		words = append(words, "!")
	}
	words = append(words, opt)
	if value != "" {
		words = append(words, value)
	}
	return words
}

// isTarget reports whether an option's name is the target's.
func (r rule) isTarget(name string) bool { return name != "" && name == r[optJump] }

// matchKeys are the keys of matches in the order in which they are rendered: by name of
// the match, the comment last.
func (r rule) matchKeys() []string {
	var keys []string
	for key := range r {
		name, _, ok := strings.Cut(strings.TrimPrefix(key, "! "), " ")
		if ok && !r.isTarget(name) {
			keys = append(keys, key)
		}
	}
	rank := func(key string) string {
		if key == optComment {
			return "~" // behind all names
		}
		return strings.TrimPrefix(key, "! ")
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(strings.Compare(rank(a), rank(b)), strings.Compare(b, a))
	})
	return keys
}

var errUnterminated = errors.New("quotation without end")

// parseRule reads a rule as iptables-save prints it behind "-A CHAIN" and brings it into
// normal form. Options that it does not know are kept as they are.
func parseRule(spec string) (rule, error) {
	words, err := split(spec)
	if err != nil {
		return nil, fmt.Errorf("parsing rule %q: %w", spec, err)
	}
	p := ruleParser{rule: rule{}}
	for len(words) > 0 {
		words = p.option(words)
	}
	p.close()
	return p.rule, nil
}

// ruleParser reads option by option; an option's meaning depends on the match or target
// named last.
type ruleParser struct {
	rule   rule
	module string // match or target that the following options belong to
	bare   bool   // module is a match, and had no option so far
}

// option consumes one option with its values.
func (p *ruleParser) option(words []string) []string {
	not := ""
	if words[0] == "!" && len(words) > 1 {
		not, words = "! ", words[1:]
	}
	opt := words[0]
	n := 1
	for n < len(words) && !isOption(words[n]) {
		n++
	}
	value := strings.Join(words[1:n], " ")
	switch canonical := longOptions[opt]; {
	case opt == "-m" || opt == "--match":
		p.close()
		p.module, p.bare = value, value != p.rule[optProto]
	case opt == "-c" || opt == "--set-counters": // what it counted is no part of a rule
	case canonical != "":
		p.general(not, canonical, value)
	default:
		p.special(not, opt, value)
	}
	return words[n:]
}

// close ends a match. One without options is a condition all the same ("-m ah"), unless
// it only repeats the protocol.
func (p *ruleParser) close() {
	if p.bare && p.module != "" {
		p.put("-m "+p.module, "")
	}
	p.module, p.bare = "", false
}

// general takes an option that every rule may have.
func (p *ruleParser) general(not, opt, value string) {
	value = normalGeneral(opt, value)
	switch opt {
	case optJump, "-g":
		p.close()
		p.module = value
	case optProto:
		if p.module == "" {
			p.module = value // "-p udp --dport" means "-p udp -m udp --dport"
		}
	}
	if value != "" {
		p.put(not+opt, value)
	}
}

// special takes an option of the current match or target.
func (p *ruleParser) special(not, opt, value string) {
	p.bare = false
	if opt == "--syn" {
		opt, value = "--tcp-flags", "FIN,SYN,RST,ACK SYN"
	}
	key := p.module + " " + opt
	if value, ok := normalSpecial(key, value); ok {
		p.put(not+key, value)
	}
}

// put sets a key. A second use of one option, negated or not, is another condition, so it
// gets a key of its own.
func (p *ruleParser) put(key, value string) {
	plain := strings.TrimPrefix(key, "! ")
	for p.has(plain) || p.has("! "+plain) {
		key, plain = key+"'", plain+"'"
	}
	p.rule[key] = value
}

func (p *ruleParser) has(key string) bool {
	_, ok := p.rule[key]
	return ok
}

// longOptions maps what every rule may have to the word that iptables-save uses.
var longOptions = map[string]string{
	"-s": optSource, "--source": optSource, "--src": optSource,
	"-d": optDest, "--destination": optDest, "--dst": optDest,
	"-i": optIn, "--in-interface": optIn,
	"-o": optOut, "--out-interface": optOut,
	"-p": optProto, "--protocol": optProto, "--proto": optProto,
	"-j": optJump, "--jump": optJump,
	"-g": "-g", "--goto": "-g",
}

// normalGeneral is the normal form of a general option's value; "" is "any", which a rule
// need not say.
func normalGeneral(opt, value string) string {
	switch opt {
	case optSource, optDest:
		return normalPrefix(value)
	case optIn, optOut:
		if value == "+" {
			return ""
		}
		return quote(unquote(value))
	case optProto:
		return normalProto(value)
	}
	return value
}

// normalSpecial is the normal form of the value of a match's or target's option, false
// where the option only says the default.
func normalSpecial(key, value string) (string, bool) {
	switch key {
	case "conntrack --ctstate", "state --state", "addrtype --src-type", "addrtype --dst-type":
		return sortSet(value), true
	case "tcp --tcp-flags":
		mask, set, _ := strings.Cut(value, " ")
		return sortSet(mask) + " " + sortSet(set), true
	case "mark --mark", "connmark --mark", "MARK --set-xmark", "CONNMARK --set-xmark":
		return normalMark(value), true
	case "CONNMARK --nfmask", "CONNMARK --ctmask":
		return value, normalMark(value) != "0xffffffff"
	case optComment:
		return quote(unquote(value)), true
	}
	return value, true
}

// normalPrefix reads ADDR, ADDR/BITS and ADDR/MASK.
func normalPrefix(s string) string {
	addr, mask, found := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return s
	}
	bits := a.BitLen()
	if found {
		if bits, err = prefixLength(mask); err != nil {
			return s
		}
	}
	p, err := a.Prefix(bits)
	switch {
	case err != nil:
		return s
	case bits == 0:
		return ""
	}
	return p.String()
}

// prefixLength reads the length of a prefix from its number or, as old versions print it,
// from a mask.
func prefixLength(s string) (int, error) {
	m, err := netip.ParseAddr(s)
	if err != nil {
		return strconv.Atoi(s)
	}
	ones, bits := net.IPMask(m.AsSlice()).Size()
	if bits == 0 {
		return 0, fmt.Errorf("mask %s: bits are not contiguous", s)
	}
	return ones, nil
}

// protocols are the names under which iptables-save prints numbers, or does not,
// depending on its version and on /etc/protocols.
var protocols = map[string]string{
	"1": "icmp", "132": "sctp", "136": "udplite", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "51": "ah", "58": "ipv6-icmp",
	"icmpv6": "ipv6-icmp", "ipv6-auth": "ah", "ipv6-crypt": "esp",
	"0": "", "all": "",
	// These iptables knows by /etc/protocols alone, which a small host lacks.
	"igmp": "2", "ipencap": "4", "dccp": "33", "ipv6": "41", "rsvp": "46", "ospf": "89", "ipip": "94", "pim": "103",
	"ipcomp": "108", "vrrp": "112", "l2tp": "115",
}

func normalProto(s string) string {
	s = strings.ToLower(s)
	if name, ok := protocols[s]; ok {
		return name
	}
	return s
}

// normalMark reads VALUE and VALUE/MASK in any base; a full mask is the default.
func normalMark(s string) string {
	value, mask, _ := strings.Cut(s, "/")
	v, err := strconv.ParseUint(value, 0, 32)
	if err != nil {
		return s
	}
	m, err := strconv.ParseUint(mask, 0, 32)
	switch {
	case mask != "" && err != nil:
		return s
	case mask == "", m == 0xffffffff:
		return fmt.Sprintf("%#x", v)
	}
	return fmt.Sprintf("%#x/%#x", v, m)
}

// sortSet sorts a list of words in which the order says nothing.
func sortSet(s string) string {
	words := strings.Split(s, ",")
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ",")
}
