package privkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

type equal interface{ Equal(crypto.PublicKey) bool }

// TestForms reads what openssl makes of keys.
func TestForms(t *testing.T) {
	dir := t.TempDir()
	for kind, key := range keys(t) {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		in := filepath.Join(dir, kind+".pem")
		if err := os.WriteFile(in, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		forms := map[string][]string{
			"pem": {"pkey"}, "der": {"pkey", "-outform", "DER"},
			"aes256": {"pkey", "-aes256", "-passout", "pass:hush"}, "3des": {"pkey", "-des3", "-passout", "pass:hush"},
			"sha1":   {"pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1", "-passout", "pass:hush"},
			"sha512": {"pkcs8", "-topk8", "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512", "-passout", "pass:hush", "-outform", "DER"},
		}
		if kind != "ed25519" { // which has no syntax of its own
			forms["own"] = []string{"pkey", "-traditional"}
			forms["own, encrypted"] = []string{"pkey", "-traditional", "-aes128", "-passout", "pass:hush"}
		}
		for name, args := range forms {
			t.Run(kind+" "+name, func(t *testing.T) {
				data, err := exec.Command("openssl", append(args, "-in", in)...).Output()
				if err != nil {
					t.Fatal(err)
				}
				check(t, data, key.Public(), len(args) > 3)
			})
		}
	}
}

func check(t *testing.T, data []byte, want crypto.PublicKey, encrypted bool) {
	t.Helper()
	got, err := Public(data, []byte("hush"))
	if err != nil || !got.(equal).Equal(want) {
		t.Errorf("got %v, %v", got, err)
	}
	if !encrypted {
		return
	}
	if _, err := Public(data, nil); !errors.Is(err, ErrEncrypted) {
		t.Errorf("without passphrase: %v", err)
	}
	// Among 300 wrong ones there is one whose padding looks right.
	for i := range 300 {
		if _, err := Public(data, []byte{'x', byte(i), byte(i >> 8)}); !errors.Is(err, ErrPassphrase) {
			t.Fatalf("with passphrase %d: %v", i, err)
		}
	}
}

func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ecdsa": ec, "rsa": r, "ed25519": ed}
}

// FuzzPublic: whatever it is given, it answers.
func FuzzPublic(f *testing.F) {
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----"), []byte("x"))
	f.Add([]byte("\x30\x03\x02\x01\x00"), []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, data, passphrase []byte) {
		key, err := Public(data, passphrase)
		if (key == nil) == (err == nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}
