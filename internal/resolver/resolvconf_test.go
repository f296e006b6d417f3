package resolver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       Config
		err        string
	}{
		{name: "empty"},
		{name: "comments and options", text: "# nameserver 10.0.0.1\n; search a\noptions edns0\nnameserver\n"},
		{name: "tabs, no line end", text: "nameserver\t10.0.0.1 # ours\nsearch  a\tb",
			want: Config{Servers: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Search: []string{"a", "b"}}},
		{name: "domain", text: "domain a\n", want: Config{Search: []string{"a"}}},
		{name: "no address", text: "nameserver dns.example\n",
			err: `parsing name server: ParseAddr("dns.example"): unexpected character (at "dns.example")`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.text)
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error is %v, want %s", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRender has every config that Set accepts come back as it was.
func FuzzRender(f *testing.F) {
	f.Add("10.0.0.53 fd00::53", "corp.example example")
	f.Add("", "nameserver #")
	f.Add("", "a\u2028b")
	f.Add("::ffff:10.0.0.1", "")
	f.Fuzz(func(t *testing.T, servers, search string) {
		var c Config
		for _, s := range strings.Split(servers, " ") {
			if a, err := netip.ParseAddr(s); err == nil {
				c.Servers = append(c.Servers, a)
			}
		}
		if search != "" {
			c.Search = strings.Split(search, " ")
		}
		if c.check() != nil {
			return
		}
		text := string(render(c))
		// Among other records, as a list has it.
		list := recordHeader + "eth0\nnameserver 192.0.2.1\n" + recordHeader + "tun.wg0\n" + text + "\n" + recordHeader + "tun.wg00\nsearch x\n"
		got, err := parse(record(list, "tun.wg0"))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(c) {
			t.Errorf("%+v came back as %+v from\n%s", c, got, text)
		}
	})
}
