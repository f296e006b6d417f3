package topology

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	deviceName = regexp.MustCompile(`^[A-Za-z0-9#+.=@_-]{1,15}$`)
	hostName   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$`)
)

// nameKind is what some kind of thing may be called. Connections, children and
// servers bear their names in the daemons' own files and on their sockets, whose
// parsers give meaning to nearly everything but letters and digits.
type nameKind struct {
	what  string
	legal func(string) bool
	rule  string
}

const (
	strictRule    = "letters, digits, _ and -, at most 64"
	looseRule     = "letters, digits, _, - and ."
	userRule      = "at most 255 bytes of text on one line, other than * alone"
	interfaceRule = "letters, digits and #+-.=@_, at most 15"
)

var (
	siteNames       = nameKind{"a site", isStrictName, strictRule}
	nodeNames       = nameKind{"a node", isLooseName, looseRule}
	peerNames       = nameKind{"a peer", isLooseName, looseRule}
	endNames        = nameKind{"an end", isLooseName, looseRule}
	connectionNames = nameKind{"a connection", isStrictName, strictRule}
	childNames      = nameKind{"a child", isStrictName, strictRule}
	serverNames     = nameKind{"a server", isStrictName, strictRule}
	interfaceNames  = nameKind{"an interface", isInterfaceName, interfaceRule}
	namespaceNames  = nameKind{"a network namespace", isLooseName, looseRule}
	userNames       = nameKind{"a user", isUserName, userRule}
	domainNames     = nameKind{"a DNS domain", isHostName, "labels of letters, digits and -, joined by dots"}
)

func (k nameKind) refuse(name string) string {
	return fmt.Sprintf("%q is no name of %s: use %s", shorten(name), k.what, k.rule)
}

func isStrictName(s string) bool { return s != "" && len(s) <= 64 && consistsOf(s, "_-") }

// isLooseName accepts names of nodes, which may be full host names.
func isLooseName(s string) bool {
	return s != "" && len(s) <= 253 && s[0] != '.' && s[0] != '-' && consistsOf(s, "_-.")
}

// consistsOf says whether s is letters and digits of ASCII and what more has.
// Every name of a file is asked, and regular expressions are slow.
func consistsOf(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// isUserName accepts what fits into one word of chap-secrets(5), where * is
// anybody.
func isUserName(s string) bool {
	return s != "" && len(s) <= 255 && s != "*" && !hasControl(s)
}

// isInterfaceName accepts what both the kernel and udev(7) leave as it is: the kernel
// takes nearly every byte, and udev at once renames an interface with any other than
// these.
func isInterfaceName(s string) bool {
	return s != "." && s != ".." && deviceName.MatchString(s)
}

// isHostName accepts DNS names. What looks like an address that was mistyped
// is none: its last label is a number.
func isHostName(s string) bool {
	if len(s) > 253 || !hostName.MatchString(s) {
		return false
	}
	trimmed := strings.TrimSuffix(s, ".")
	last := trimmed[strings.LastIndexByte(trimmed, '.')+1:]
	return strings.Trim(last, "0123456789") != ""
}

// hasControl says whether s holds what would end a line or confuse a terminal.
func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// shorten keeps what messages repeat of the file to a readable length.
func shorten(s string) string {
	const enough = 60
	if utf8.RuneCountInString(s) <= enough {
		return s
	}
	return string([]rune(s)[:enough]) + "…"
}
