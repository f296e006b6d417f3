package proposal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAccepts(t *testing.T) {
	tests := map[Protocol]string{
		IKE: `default aes128-sha256-modp2048 aes256gcm16-prfsha384-ecp384 chacha20poly1305-prfsha256-x25519
			aes128-aes256-sha1-sha256-modp1024-modp2048 aes256-sha2_256-modp2048s256 aes256gcm128-sha256-prfsha256-none-x448
			3des-md5-modp1024 aes256-sha256_96-prfsha256-curve25519 aes256-sha384-x25519-ke1_mlkem768-ke2_none`,
		ESP: `default aes128-sha256 aes128-sha1 aes256gcm16 aes256gcm16-modp2048-esn null-sha256 aes128gmac
			aes128 aes256-sha256-prfsha256-noesn chacha20poly1305-none camellia256ccm96 aes-sha`,
		AH: `default sha256 md5 sha256-modp2048 aes256gmac aes128-sha1 sha512-esn`,
	}
	for protocol, texts := range tests {
		for _, text := range strings.Fields(texts) {
			if _, err := Parse(protocol, text); err != nil {
				t.Errorf("Parse(%s, %q): %v", protocol, text, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		protocol Protocol
		text     string
		want     string
	}{
		{IKE, "aes128-sha265-modp2048", `"sha265" is no algorithm of strongSwan (did you mean "sha256"?)`},
		{ESP, "rot13", `"rot13" is no algorithm of strongSwan`},
		{IKE, "AES128-sha256-modp2048", `"AES128" is no algorithm of strongSwan (did you mean "aes128"?)`},
		{ESP, "", "there is an empty word in it; words are joined by single dashes"},
		{ESP, "aes128--sha256", "there is an empty word in it; words are joined by single dashes"},
		{IKE, "aes128-sha256", "it has no key exchange group, such as modp2048 or x25519"},
		{IKE, "aes128-sha256-none", "it has no key exchange group, such as modp2048 or x25519"},
		{IKE, "aes128-sha256-ke1_mlkem768", "it has no key exchange group, such as modp2048 or x25519"},
		{IKE, "aes128-modp2048", "it has no integrity algorithm, such as sha256"},
		{IKE, "aes128gcm16-modp2048", "it has no pseudo-random function, such as prfsha256"},
		{IKE, "aes128-sha256_96-modp2048", "it has no pseudo-random function, such as prfsha256"},
		{IKE, "sha256-modp2048", "it has no encryption algorithm, such as aes128"},
		{ESP, "sha256", "it has no encryption algorithm, such as aes128"},
		{ESP, "aes128-aes128gcm16", "aes128gcm16 checks integrity itself and aes128 does not; put them into two proposals"},
		{AH, "aes128", "it has no integrity algorithm, and AH needs one, such as sha256"},
		{IKE, "aes128-sha256-x25519-ke1_sha256", `"ke1_sha256" is no algorithm of strongSwan`},
		{IKE, "aes128-sha256-x25519-ke8_mlkem768", `"ke8_mlkem768" is no algorithm of strongSwan (did you mean "mlkem768"?)`},
	}
	for _, tt := range tests {
		_, err := Parse(tt.protocol, tt.text)
		if err == nil {
			t.Errorf("Parse(%s, %q) accepts", tt.protocol, tt.text)
			continue
		}
		if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
			t.Errorf("Parse(%s, %q) (-want +got):\n%s", tt.protocol, tt.text, diff)
		}
	}
}

func TestWeak(t *testing.T) {
	tests := []struct {
		protocol Protocol
		text     string
		want     []string
	}{
		{IKE, "aes128-sha256-modp2048", nil},
		{IKE, "default", nil},
		{IKE, "3des-md5-prfmd5-modp1024", []string{
			"3des has blocks of 64 bits (Sweet32)", "MD5 is broken",
			"modp1024 is within reach of precomputation (Logjam)",
		}},
		{ESP, "aes128-sha1", []string{"SHA-1 is deprecated"}},
		{ESP, "aes128", []string{"without an integrity algorithm anybody can alter packets"}},
		{ESP, "aes128gcm16", nil},
		{ESP, "aes128gmac", []string{"aes128gmac encrypts nothing"}},
		{ESP, "null-sha256", []string{"null encrypts nothing"}},
		{AH, "sha256", nil},
		{AH, "null-sha256", nil},
		{AH, "aes256gmac", nil},
		{AH, "md5", []string{"MD5 is broken"}},
	}
	for _, tt := range tests {
		p, err := Parse(tt.protocol, tt.text)
		if err != nil {
			t.Fatalf("Parse(%s, %q): %v", tt.protocol, tt.text, err)
		}
		if diff := cmp.Diff(tt.want, p.Weak()); diff != "" {
			t.Errorf("Weak of %s %q (-want +got):\n%s", tt.protocol, tt.text, diff)
		}
	}
}

func TestEveryWeakWordIsKnown(t *testing.T) {
	for word := range weaknesses {
		if _, ok := keywords[word]; !ok {
			t.Errorf("%q is called weak and is no keyword", word)
		}
	}
}

func TestStripped(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"aes128-sha256-modp2048", nil},
		{"aes128-aes256-sha256-modp2048-modp3072", []string{"aes256", "modp3072"}},
	}
	for _, tt := range tests {
		p, err := Parse(IKE, tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, p.Stripped()); diff != "" {
			t.Errorf("Stripped of %q (-want +got):\n%s", tt.text, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"aes128-sha256-modp2048", "default", "", "-", "ke1_", "ke1_mlkem768", "aes128gcm16-prfsha256-x25519"} {
		f.Add("ike", text)
		f.Add("esp", text)
		f.Add("ah", text)
	}
	f.Fuzz(func(t *testing.T, protocol, text string) {
		p, err := Parse(Protocol(protocol), text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("message of more than one line: %q", err)
			}
			return
		}
		// What charon splits at dashes must not hold what its settings
		// parser splits first.
		if strings.ContainsAny(text, " ,\"\n#{}") {
			t.Errorf("Parse(%q) accepts what swanctl.conf cannot carry", text)
		}
		p.Weak()
		p.Stripped()
	})
}
