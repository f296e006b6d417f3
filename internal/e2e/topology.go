package e2e

import (
	"strings"
	"testing"
	"text/template"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// keys are a test's key pairs, made when they are first named.
type keys map[string]wgtypes.Key

// private returns a private key.
func (k keys) private(name string) wgtypes.Key {
	if _, ok := k[name]; !ok {
		key, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			panic(err) // no random numbers: nothing works
		}
		k[name] = key
	}
	return k[name]
}

// public returns a public key as text.
func (k keys) public(name string) string { return k.private(name).PublicKey().String() }

// topology fills in a topology's keys: {{pair "NAME"}} is both keys of a member,
// {{public "NAME"}} a public key.
func (k keys) topology(t testing.TB, text string) string {
	t.Helper()
	tmpl := template.New("topology").Funcs(template.FuncMap{
		"public": k.public,
		"pair": func(name string) string {
			return "private_key: {value: " + k.private(name).String() + "}, public_key: " + k.public(name)
		},
	})
	var b strings.Builder
	if _, err := tmpl.Parse(text); err != nil {
		t.Fatal(err)
	}
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
