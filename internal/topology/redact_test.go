package topology

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

func TestRedact(t *testing.T) {
	src := `
wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: ` + "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" + `, private_key: {value: yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=}}   # of a
    peers:
      p: {public_key: K2, preshared_key: {encoding: hex, value: "3031323334353637383930313233343536373839303132333435363738393031"}}
ipsec:
  x:
    server: a
    pools: [10.0.0.0/24]
    auth:
      cert: {value: "a certificate is no secret"}
      key:
        value: |   # PEM
          -----BEGIN hunter2-----

          more hunter2
        passphrase: {"value":"hun\"ter2"}   # "hard" to guess
      ca: {file: ca.crt}
    users:
      alice: {password: {value: 'hun''ter2'}}
      bob:
        password:
          value: hunter2
            and hunter2   # on two lines
      carol: {password: {file: /etc/hunter3}}
l2tp:
  l: {server: a, local_ip: 10.0.1.1, pools: [10.0.1.2], ipsec: none, radius: {servers: [{address: 10.0.2.1, secret: {value: hunter2}}]}}
`
	want := `
wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: ` + "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" + `, private_key: {value: "(secret)"}}   # of a
    peers:
      p: {public_key: K2, preshared_key: {encoding: hex, value: "(secret)"}}
ipsec:
  x:
    server: a
    pools: [10.0.0.0/24]
    auth:
      cert: {value: "a certificate is no secret"}
      key:
        value: "(secret)"
        passphrase: {"value":"(secret)"}   # "hard" to guess
      ca: {file: ca.crt}
    users:
      alice: {password: {value: "(secret)"}}
      bob:
        password:
          value: "(secret)"   # on two lines
      carol: {password: {file: /etc/hunter3}}
l2tp:
  l: {server: a, local_ip: 10.0.1.1, pools: [10.0.1.2], ipsec: none, radius: {servers: [{address: 10.0.2.1, secret: {value: "(secret)"}}]}}
`
	for _, ending := range []string{"\n", "\r\n"} {
		file := func(body string) string { return strings.ReplaceAll(words.Replace(head+body), "\n", ending) }
		got, err := Redact("f", []byte(file(src)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(file(want), string(got)); diff != "" {
			t.Errorf("with %q (-want +got):\n%s", ending, diff)
		}
		again, err := Redact("f", got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), string(again)); diff != "" {
			t.Errorf("twice (-want +got):\n%s", diff)
		}
	}
}

func TestRedactLeavesOutBlocks(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"literal", "value: |\n            hunter2\n            hunter2\n", "value: \"(secret)\"\n"},
		{"literal with indentation", "value: |2-\n             hunter2\n\n            hunter2\n", "value: \"(secret)\"\n"},
		{"folded", "value: >+\n           hunter2\n\n\n", "value: \"(secret)\"\n\n\n"},
		{"quoted over lines", "value: \"hun\n            ter2\\\n            hunter2\"\n", "value: \"(secret)\"\n"},
		{"at the end", "value: |\n           hunter2", "value: \"(secret)\""},
		{"like a comment", "value: a#hunter2 # why\n", "value: \"(secret)\" # why\n"},
	}
	for _, tt := range tests {
		const before = head + `ipsec:
  x:
    server: a
    pools: [10.0.0.0/24]
    auth: {psk: {env: P}}
    users:
      u:
        password:
          `
		got, err := Redact("f", []byte(before+tt.value))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(before+tt.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestRedactRefusesWhatIsWrong(t *testing.T) {
	if out, err := Redact("f", []byte("version: 1\n")); err == nil {
		t.Errorf("accepted: %s", out)
	}
}

// TestRedactAnyLayout writes secrets in every style that the YAML library has,
// and checks that they are gone and all else is still there.
func TestRedactAnyLayout(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	styles := []yaml.Style{0, yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}
	parts := []string{"hunter2", " ", "\n", "#", ": ", "'", `"`, `\`, "{", "]", ", ", "ü", "  ", "\t", "|", "- ", "\u2028", "x"}
	for range 500 {
		text := "hunter2"
		for range r.IntN(8) {
			text += parts[r.IntN(len(parts))]
		}
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: styles[r.IntN(len(styles))]}
		ref := mapping("encoding", &yaml.Node{Kind: yaml.ScalarNode, Value: "text"}, "value", value)
		auth := mapping("psk", ref)
		if r.IntN(2) == 0 {
			ref.Content = append(ref.Content[2:], ref.Content[:2]...)
		}
		connection := mapping("ends", mapping("a", mapping(), "b", mapping()), "auth", auth, "start_action",
			&yaml.Node{Kind: yaml.ScalarNode, Value: "trap", LineComment: "# why"})
		for _, n := range []*yaml.Node{connection, auth, ref} {
			if r.IntN(3) == 0 {
				n.Style = yaml.FlowStyle
			}
		}
		var b bytes.Buffer
		enc := yaml.NewEncoder(&b)
		enc.SetIndent(1 + r.IntN(6))
		if err := enc.Encode(mapping("ipsec", mapping("x", connection))); err != nil {
			t.Fatal(err)
		}
		src := head + b.String()
		out, err := Redact("f", []byte(src))
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		if strings.Contains(string(out), "hunter2") {
			t.Fatalf("the secret is still there:\n%s\n%s", src, out)
		}
		if diff := cmp.Diff(withoutSecret(t, []byte(src)), withoutSecret(t, out)); diff != "" {
			t.Fatalf("more than the secret changed (-want +got):\n%s\n%s\n%s", diff, src, out)
		}
	}
}

// mapping makes a mapping of keys and values.
func mapping(entries ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(entries); i += 2 {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: entries[i].(string)}, entries[i+1].(*yaml.Node))
	}
	return n
}

// withoutSecret reads a topology as plain data, less the secret.
func withoutSecret(t *testing.T, src []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := yaml.Unmarshal(src, &all); err != nil {
		t.Fatal(err)
	}
	ref := all["ipsec"].(map[string]any)["x"].(map[string]any)["auth"].(map[string]any)["psk"].(map[string]any)
	delete(ref, "value")
	return all
}

// TestParseRedacted is both in one, and leaves a file without secrets as it is.
func TestParseRedacted(t *testing.T) {
	const open = head + "wireguard: {wg0: {listen_port: 1, members: {a: {addresses: [10.0.0.1/24], public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, " +
		"private_key: {file: key}}}}}\n"
	inline := strings.Replace(open, "{file: key}", "{value: yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=}", 1)
	for src, want := range map[string]string{
		open: open, inline: strings.Replace(open, "{file: key}", `{value: "(secret)"}`, 1),
	} {
		got, text, _, err := ParseRedacted("f", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(text)); diff != "" {
			t.Errorf("text (-want +got):\n%s", diff)
		}
		if got.Site == "" || got.HasInlineSecrets != (src == inline) {
			t.Errorf("parsed %+v", got)
		}
	}
	if topology, text, _, err := ParseRedacted("f", []byte("version: 1\n")); err == nil || topology != nil || text != nil {
		t.Errorf("of a wrong file: %v, %s, %v", topology, text, err)
	}
}
