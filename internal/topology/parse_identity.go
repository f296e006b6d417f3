package topology

import (
	"fmt"
	"slices"
	"strings"
)

// What charon carries as an id, and as any other text: longer ones it cuts without a word,
// and of what is not printable ASCII the socket and the file make different things.
const (
	maxIdentity = 255
	maxText     = 511
)

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// identity reads an id of IKE.
func (v *value) identity(into *string) bool {
	var s string
	if !v.line(&s) {
		return false
	}
	if problem := identityProblem(s); problem != "" {
		v.fail("%q %s", shorten(s), problem)
		return false
	}
	*into = s
	return true
}

// identityProblem is why charon cannot carry an id, "" where it can.
func identityProblem(s string) string {
	switch {
	case !isPrintable(s):
		return "cannot be an id of IKE, which is printable ASCII; a DNS name has such a form, xn--…"
	case len(s) > maxIdentity:
		return fmt.Sprintf("cannot be an id of IKE: it has %d bytes, and at most %d are carried", len(s), maxIdentity)
	}
	return ""
}

// anybody are the ids that mean everybody to charon: a password bound to one of them would
// be everybody's.
var anybody = []string{"%any", "%any6", "0.0.0.0", "::", "0::0", "*"}

var ipsecUserNames = nameKind{"a user of IPsec", func(s string) bool {
	return isUserName(s) && isPrintable(s) && !slices.Contains(anybody, s)
}, "at most 255 bytes of printable ASCII that do not mean anybody, as %any does"}

// userOf reads whom an end or a client of IPsec logs in as.
func (v *value) userOf(into *string) { v.nameOf(into, ipsecUserNames) }
