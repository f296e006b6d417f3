package wireguard

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// fields collects the fields of a change, in the order of their names.
type fields []backend.Field

func (f *fields) add(name string, have, want backend.Value) {
	*f = append(*f, backend.Field{Name: name, Have: have, Want: want})
}

func (f *fields) number(name string, have, want int) {
	if have != want {
		f.add(name, numberValue(have), numberValue(want))
	}
}

func (f *fields) text(name, have, want string) {
	if have != want {
		f.add(name, textValue(have), textValue(want))
	}
}

func (f *fields) prefixes(name string, have, want []netip.Prefix) {
	if !slices.Equal(have, want) {
		f.add(name, prefixValue(have), prefixValue(want))
	}
}

// The zero of each type is absent.

func numberValue(n int) backend.Value {
	if n == 0 {
		return backend.Value{}
	}
	return backend.Text(strconv.Itoa(n))
}

func textValue(s string) backend.Value {
	if s == "" {
		return backend.Value{}
	}
	return backend.Text(s)
}

func prefixValue(p []netip.Prefix) backend.Value {
	return textValue(strings.Join(backend.FormatAddrs(p), ", "))
}

func secretValue(present bool) backend.Value {
	if !present {
		return backend.Value{}
	}
	return backend.Secret()
}
