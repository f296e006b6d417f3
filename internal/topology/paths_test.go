package topology

import (
	"reflect"
	"testing"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// TestSecretsHavePathsOfTheirOwn builds names that imitate the paths of each
// other's secrets: stored secrets are found again by path.
func TestSecretsHavePathsOfTheirOwn(t *testing.T) {
	top, errs, _ := parseText(t, words.Replace(`version: 1
site: s
nodes: {a: {addresses: [192.0.2.1]}, b: {addresses: [192.0.2.2]}, b.members.a: {addresses: [192.0.2.3]}, a.private_key: {}}
wireguard:
  wg0:
    hub: a
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}}
      a.private_key: {public_key: K2, private_key: {env: C}}
      b.members.a: {public_key: K3, private_key: {env: D}}
    preshared_keys: [{between: [a, a.private_key], env: E}, {between: [a, b.members.a], env: F}]
  wg0.members.b: {members: {a: {public_key: K1, private_key: {env: G}}}}
ipsec:
  x: {ends: {a: {auth: {psk: {env: H}}}, b: {auth: {psk: {env: H}}}}}
  y: {server: a, pools: [10.0.0.0/24], auth: {cert: {file: c}, key: {file: k, passphrase: {env: I}}}, users: {u: {password: {env: J}}, u.password: {password: {env: K}}}}
pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.0.1.1, pools: [10.0.1.2], users: {"r[0]": {password: {env: L}}}, radius: {servers: [{address: r, secret: {env: M}}, {address: s, secret: {env: N}}]}}
`))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	seen := map[string]*secret.Ref{}
	refs(reflect.ValueOf(top), func(ref *secret.Ref) {
		if other := seen[ref.Pos.Path]; other != nil && other != ref {
			t.Errorf("%s is the path of %s and %s", ref.Pos.Path, ref, other)
		}
		seen[ref.Pos.Path] = ref
	})
	if len(seen) != 16 {
		t.Errorf("found %d secrets: %v", len(seen), seen)
	}
}

// refs finds every reference to a secret, whatever holds it.
func refs(v reflect.Value, found func(*secret.Ref)) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if ref, ok := v.Interface().(*secret.Ref); ok {
			found(ref)
		}
		refs(v.Elem(), found)
	case reflect.Slice:
		for i := range v.Len() {
			refs(v.Index(i), found)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				refs(v.Field(i), found)
			}
		}
	}
}
