package topology

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settingKind turns the text of a value into swanctl.conf's; what is wrong is
// said with what is allowed.
type settingKind struct {
	allowed string
	read    func(string) (string, bool)
}

var (
	yesNo    = settingKind{"yes or no", readYesNo}
	seconds  = settingKind{"a duration such as 25s, 30m or 8h", readSeconds}
	bytesOf  = settingKind{"a number of bytes such as 500m or 1g", matching(`[0-9]+[kKmMgG]?`)}
	integer  = settingKind{"a number", readInteger}
	packets  = settingKind{"a number", matching(`[0-9]{1,19}`)}
	mark     = settingKind{"a mark such as 42, 0x10/0xff or %unique", matching(`(0x[0-9a-fA-F]{1,8}|[0-9]{1,10}|%unique|%unique-dir)(/(0x[0-9a-fA-F]{1,8}|[0-9]{1,10}))?`)}
	setMark  = settingKind{"a mark such as 42, 0x10/0xff or %same", matching(`(0x[0-9a-fA-F]{1,8}|[0-9]{1,10}|%same)(/(0x[0-9a-fA-F]{1,8}|[0-9]{1,10}))?`)}
	ifID     = settingKind{"a number, %unique or %unique-dir", matching(`0x[0-9a-fA-F]{1,8}|[0-9]{1,10}|%unique|%unique-dir`)}
	sixBits  = settingKind{"six binary digits such as 101110", matching(`[01]{6}`)}
	portOf   = settingKind{"a port number up to 65535", readPort}
	padding  = settingKind{"a number or mtu", matching(`[0-9]{1,5}|mtu`)}
	textLine = settingKind{"printable ASCII without quotes", readText}
)

// connectionSettings are the keys of a connection in swanctl.conf(5) that have
// no word of their own here.
var connectionSettings = map[string]settingKind{
	"local_port": portOf, "remote_port": portOf, "aggressive": yesNo, "pull": yesNo, "dscp": sixBits,
	"encap": yesNo, "mobike": yesNo, "fragmentation": among("yes", "accept", "force", "no"),
	"childless": among("allow", "prefer", "force", "never"), "send_certreq": yesNo,
	"send_cert": among("always", "never", "ifasked"), "ocsp": among("never", "reply", "request", "both"),
	"ppk_id": textLine, "ppk_required": yesNo, "keyingtries": integer,
	"unique":      among("never", "no", "keep", "replace"),
	"reauth_time": seconds, "over_time": seconds, "rand_time": seconds, "if_id_in": ifID, "if_id_out": ifID,
	"mediation": yesNo, "mediated_by": textLine, "mediation_peer": textLine,
}

// childSettings are the same of a child.
var childSettings = map[string]settingKind{
	"sha256_96": yesNo, "life_time": seconds, "rand_time": seconds,
	"rekey_bytes": bytesOf, "life_bytes": bytesOf, "rand_bytes": bytesOf,
	"rekey_packets": packets, "life_packets": packets, "rand_packets": packets,
	"updown": textLine, "hostaccess": yesNo, "policies": yesNo, "policies_fwd_out": yesNo, "ipcomp": yesNo,
	"inactivity": seconds, "reqid": integer, "priority": integer,
	"mark_in": mark, "mark_in_sa": yesNo, "mark_out": mark, "set_mark_in": setMark, "set_mark_out": setMark,
	"if_id_in": ifID, "if_id_out": ifID, "label": textLine, "label_mode": among("system", "simple", "selinux"),
	"tfc_padding": padding, "replay_window": integer, "per_cpu_sas": among("yes", "no", "encap"),
	"hw_offload": among("yes", "no", "crypto", "packet", "auto"), "copy_df": yesNo, "copy_ecn": yesNo,
	"copy_dscp": among("out", "in", "yes", "no"), "icmp": yesNo, "close_action": among("none", "trap", "start"),
}

// connectionWords name what a topology has for keys of swanctl.conf(5) that it
// does not take over.
var connectionWords = map[string]string{
	"version": "ike_version", "proposals": "ike_proposals", "rekey_time": "ike_rekey",
	"local_addrs": "ends.NAME.address", "remote_addrs": "ends.NAME.address",
	"local": "ends.NAME.auth", "remote": "ends.NAME.auth", "vips": "clients", "secrets": "auth",
	"dpd_delay": "dpd.delay", "dpd_timeout": "dpd.timeout",
	"local_ts": "ends.NAME.subnets", "remote_ts": "ends.NAME.subnets", "dpd_action": "dpd.action",
}

var childWords = map[string]string{
	"rekey_time": "child_rekey", "dpd_action": "dpd.action", "interface": "the connection's interface",
	"local_ts": "subnets", "remote_ts": "subnets", "proposals": "esp_proposals",
}

// among allows some words.
func among(words ...string) settingKind {
	return settingKind{oneOf(words), func(s string) (string, bool) {
		if yes, ok := readYesNo(s); ok && slices.Contains(words, yes) {
			return yes, true
		}
		return s, slices.Contains(words, s)
	}}
}

func matching(pattern string) func(string) (string, bool) {
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(s string) (string, bool) { return s, re.MatchString(s) }
}

// readYesNo takes YAML's booleans and charon's.
func readYesNo(s string) (string, bool) {
	switch s {
	case "yes", "true":
		return "yes", true
	case "no", "false":
		return "no", true
	}
	return "", false
}

// readSeconds writes a duration as charon reads it, which knows one unit a
// value.
func readSeconds(s string) (string, bool) {
	d, err := parseDuration(s)
	if s == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 || d%time.Second != 0 || d > maxDuration {
		return "", false
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s", true
}

func readInteger(s string) (string, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return strconv.FormatUint(n, 10), err == nil
}

func readPort(s string) (string, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return strconv.FormatUint(n, 10), err == nil
}

func readText(s string) (string, bool) {
	return s, s != "" && len(s) <= maxText && isPrintable(s) && !strings.ContainsAny(s, `"\`)
}

// setting reads a key of swanctl.conf(5) where one of the tables has it. One
// that has a word of our own is refused and named, so that no key is set in
// two ways.
func (v *value) setting(into *[]Setting, known map[string]settingKind, words map[string]string) bool {
	name := v.name
	if strings.HasPrefix(name, "local-") || strings.HasPrefix(name, "remote-") {
		name, _, _ = strings.Cut(name, "-")
	}
	if own, ok := words[name]; ok {
		v.errorf(v.keyPos(), "is swanctl.conf's word: here it is %s", own)
		return true
	}
	kind, ok := known[v.name]
	if !ok {
		return false
	}
	if s, isText := v.text(); isText {
		if s, ok = kind.read(s); ok {
			*into = append(*into, Setting{Key: v.name, Value: s})
		} else {
			v.fail("%q is not allowed: use %s", shorten(v.node.Value), kind.allowed)
		}
	}
	return true
}

// mergeSettings returns what a child has of its own and else of its connection.
func mergeSettings(own, inherited []Setting) []Setting {
	all := slices.Clone(own)
	for _, s := range inherited {
		if !slices.ContainsFunc(own, func(o Setting) bool { return o.Key == s.Key }) {
			all = append(all, s)
		}
	}
	sortSettings(all)
	return all
}

func sortSettings(all []Setting) {
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(a.Key, b.Key) })
}

func settingNames(tables ...map[string]settingKind) []string {
	var names []string
	for _, t := range tables {
		names = slices.AppendSeq(names, maps.Keys(t))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// settingValue returns the value of a key, "" where it is not set.
func settingValue(all []Setting, key string) string {
	for _, s := range all {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
