package topology

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func parseTestKey(t *testing.T, b byte) wgtypes.Key {
	t.Helper()
	key, err := wgtypes.ParseKey(testKey(b))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSetPublicKeys(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"block", `
wireguard:
  wg0:
    listen_port: 1   # default
    members:
      # the first
      a:   # here
        # its address
        addresses: [10.0.0.1/24]
        private_key: {env: A}
      b:
          private_key: {env: B}
`, `
wireguard:
  wg0:
    listen_port: 1   # default
    members:
      # the first
      a:   # here
        public_key: K1
        # its address
        addresses: [10.0.0.1/24]
        private_key: {env: A}
      b:
          public_key: K2
          private_key: {env: B}
`},
		{"flow", `
wireguard: {wg0: {listen_port: 1, members: {a: {addresses: [10.0.0.1/24]}, "b": {   # none
  private_key: {env: B}}}}}
`, `
wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1, addresses: [10.0.0.1/24]}, "b": {public_key: K2,    # none
  private_key: {env: B}}}}}
`},
		{"empty members", `
wireguard:
  wg0: {listen_port: 1, members: {a: , b: {}}}
`, `
wireguard:
  wg0: {listen_port: 1, members: {a: {public_key: K1} , b: {public_key: K2}}}
`},
		{"empty blocks", `
wireguard:
  wg0:
    listen_port: 1
    members:
      a:  # later
      'b' :   
`, `
wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1}  # later
      'b' : {public_key: K2}   
`},
		{"nulls", `
wireguard:
  wg0:
    listen_port: 1
    members:
      a: ~
      b: null # nothing
`, `
wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1}
      b: {public_key: K2} # nothing
`},
		{"a key that is there", `
wireguard:
  wg0: {listen_port: 1, members: {a: {public_key: K1}, b: {"addresses":["10.0.0.1/24"]}}}
`, `
wireguard:
  wg0: {listen_port: 1, members: {a: {public_key: K1}, b: {public_key: K2, "addresses":["10.0.0.1/24"]}}}
`},
		{"explicit keys and other letters", `
wireguard: # schön
  wg0: {"listen_port": 1, hooks: {pre_up: ["echo ü"]}, members: {a: {}, b: {}}}
`, `
wireguard: # schön
  wg0: {"listen_port": 1, hooks: {pre_up: ["echo ü"]}, members: {a: {public_key: K1}, b: {public_key: K2}}}
`},
	}
	keys := map[string]map[string]wgtypes.Key{"wg0": {"a": parseTestKey(t, 1), "b": parseTestKey(t, 2)}}
	for _, tt := range tests {
		for _, ending := range []string{"\n", "\r\n"} {
			for _, mark := range []string{"", string(byteOrderMark)} {
				t.Run(fmt.Sprintf("%s %q %q", tt.name, ending, mark), func(t *testing.T) {
					file := func(body string) string {
						return mark + strings.ReplaceAll(words.Replace(head+body), "\n", ending)
					}
					got, err := SetPublicKeys([]byte(file(tt.yaml)), keys)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(file(tt.want), string(got)); diff != "" {
						t.Errorf("result (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

func TestSetPublicKeysRefuses(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"no such network", "wireguard: {wg1: {members: {a: {}}}}\n",
			"setting public_key of a on wg0: there is no such member"},
		{"no such member", "wireguard: {wg0: {members: {b: {}}}}\n",
			"setting public_key of a on wg0: there is no such member"},
		{"another key", "wireguard: {wg0: {members: {a: {public_key: K2}}}}\n",
			"setting public_key of a on wg0: it has another one already"},
		{"a key that another has", "wireguard: {wg0: {members: {a: {}, b: {listen_port: 1, public_key: K1}}}}\n",
			"reading the topology with its public keys: topology:4:124: wireguard.wg0.members.b.public_key: is the public key of a (line 4) already: each needs its own"},
		{"a way to write it that is not foreseen", "wireguard: {wg0: {members: {a}}}\n",
			"setting public_key of a on wg0: write it into the file by hand: K1"},
		{"a file with errors", "wireguard: {wg0: {members: {a: {mtu: x}}}}\n",
			`topology:4:38: wireguard.wg0.members.a.mtu: "x" is not allowed: use a number from 576 to 65535`},
	}
	keys := map[string]map[string]wgtypes.Key{"wg0": {"a": parseTestKey(t, 1)}}
	for _, tt := range tests {
		out, err := SetPublicKeys([]byte(head+words.Replace(tt.yaml)), keys)
		if err == nil {
			t.Errorf("%s: accepted: %s", tt.name, out)
			continue
		}
		if diff := cmp.Diff(words.Replace(tt.want), err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// writeMember writes a member in one of the ways that YAML has.
func writeMember(r *rand.Rand, name, indent string) string {
	comment := []string{"", " ", "  # ü: {", "\t"}[r.IntN(4)]
	name = []string{name, "'" + name + "'", `"` + name + `"`}[r.IntN(3)]
	inner := indent + strings.Repeat(" ", 1+r.IntN(4))
	return indent + name + ":" + []string{
		comment + "\n",
		" {}" + comment + "\n",
		" {mtu: 1400,# x\n" + inner + "table: off }" + comment + "\n",
		comment + "\n\n" + inner + "mtu: 1400" + comment + "\n" + inner + "hooks:\n" + inner + " pre_up:\n" + inner + " - |\n" + inner + "   x: {\n\n",
		comment + "\n" + inner + "# about\n" + inner + "mtu: 1400\n",
		" ~" + comment + "\n",
	}[r.IntN(6)]
}

// TestSetPublicKeysAnyLayout checks what the tables cannot: that in any layout
// the result holds the keys, and without them is the file it was.
func TestSetPublicKeysAnyLayout(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var b strings.Builder
		b.WriteString(head + "wireguard:\n  wg0:\n    listen_port: 1\n    members:\n")
		keys := map[string]wgtypes.Key{}
		for i, name := range []string{"a", "b"} {
			b.WriteString(writeMember(r, name, "      "))
			keys[name] = parseTestKey(t, byte(i+1))
		}
		src := b.String()
		if r.IntN(2) == 0 {
			src = strings.ReplaceAll(src, "\n", "\r\n")
		}
		out, err := SetPublicKeys([]byte(src), map[string]map[string]wgtypes.Key{"wg0": keys})
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		rest := string(out)
		for _, key := range keys {
			rest = without(rest, "public_key: "+key.String())
		}
		if squeeze(rest) != squeeze(strings.ReplaceAll(src, "~", "")) {
			t.Fatalf("more than the keys changed:\n%s\n%s", src, out)
		}
	}
}

func without(s, part string) string { return strings.Replace(s, part, "", 1) }

// squeeze leaves out what an insertion brings along: space, braces, commas.
func squeeze(s string) string {
	return strings.NewReplacer(" ", "", "\n", "", "\r", "", "{}", "", ",", "").Replace(s)
}
