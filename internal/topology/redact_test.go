package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
