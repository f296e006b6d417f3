package proposal

import "strings"

// kind is what a keyword stands for.
type kind int

const (
	encryption kind = iota
	aead
	integrity
	prf
	group
	sequence
)

// The words of charon's static keyword list, 5.9.8 and 6.0 together: which of
// them a host's plugins can do, only the host knows.
const (
	ciphers = "null des 3des " +
		"aes aes128 aes192 aes256 aes128ctr aes192ctr aes256ctr " +
		"blowfish blowfish128 blowfish192 blowfish256 cast128 " +
		"camellia camellia128 camellia192 camellia256 camellia128ctr camellia192ctr camellia256ctr " +
		"serpent serpent128 serpent192 serpent256 twofish twofish128 twofish192 twofish256"

	combined = "aes128ccm aes192ccm aes256ccm aes128gcm aes192gcm aes256gcm " +
		"aes128gmac aes192gmac aes256gmac chacha20poly1305 chacha20poly1305compat"

	// sized take the length of their check value, in bytes or in bits.
	sized = "aes128ccm aes192ccm aes256ccm aes128gcm aes192gcm aes256gcm " +
		"camellia128ccm camellia192ccm camellia256ccm"
	checkLengths = "8 64 12 96 16 128"

	signers = "sha sha1 sha1_160 sha256 sha2_256 sha256_96 sha2_256_96 sha384 sha2_384 sha512 sha2_512 " +
		"md5 md5_128 aesxcbc camelliaxcbc aescmac"

	functions = "prfsha1 prfsha256 prfsha384 prfsha512 prfmd5 prfaesxcbc prfcamelliaxcbc prfaescmac"

	groups = "none modpnone modpnull modp768 modp1024 modp1536 modp2048 modp3072 modp4096 modp6144 modp8192 " +
		"modp1024s160 modp2048s224 modp2048s256 ecp192 ecp224 ecp256 ecp384 ecp521 " +
		"ecp224bp ecp256bp ecp384bp ecp512bp curve25519 x25519 curve448 x448 " +
		"ntru112 ntru128 ntru192 ntru256 newhope128 gost256 gost512 mlkem512 mlkem768 mlkem1024"

	sequences = "esn noesn"
)

// keywords maps each word to what it stands for.
var keywords = buildKeywords()

func buildKeywords() map[string]kind {
	words := make(map[string]kind)
	add := func(list string, k kind) {
		for _, word := range strings.Fields(list) {
			words[word] = k
		}
	}
	add(ciphers, encryption)
	add(combined, aead)
	add(signers, integrity)
	add(functions, prf)
	add(groups, group)
	add(sequences, sequence)
	for _, cipher := range strings.Fields(sized) {
		for _, length := range strings.Fields(checkLengths) {
			words[cipher+length] = aead
		}
	}
	return words
}

// noFunction are signers that charon derives no IKE pseudo-random function of.
const noFunction = "sha256_96 sha2_256_96"

// weaknesses says of each weak word why it is weak.
var weaknesses = map[string]string{
	"null":         "null encrypts nothing",
	"aes128gmac":   "aes128gmac encrypts nothing",
	"aes192gmac":   "aes192gmac encrypts nothing",
	"aes256gmac":   "aes256gmac encrypts nothing",
	"des":          "a DES key is found in hours",
	"3des":         "3des has blocks of 64 bits (Sweet32)",
	"blowfish":     "blowfish has blocks of 64 bits (Sweet32)",
	"blowfish128":  "blowfish128 has blocks of 64 bits (Sweet32)",
	"blowfish192":  "blowfish192 has blocks of 64 bits (Sweet32)",
	"blowfish256":  "blowfish256 has blocks of 64 bits (Sweet32)",
	"cast128":      "cast128 has blocks of 64 bits (Sweet32)",
	"md5":          "MD5 is broken",
	"md5_128":      "MD5 is broken",
	"prfmd5":       "MD5 is broken",
	"sha":          "SHA-1 is deprecated",
	"sha1":         "SHA-1 is deprecated",
	"sha1_160":     "SHA-1 is deprecated",
	"prfsha1":      "SHA-1 is deprecated",
	"modpnull":     "modpnull exchanges no key at all",
	"modp768":      "modp768 has been broken",
	"modp1024":     "modp1024 is within reach of precomputation (Logjam)",
	"modp1536":     "modp1536 has less than 112 bits of strength",
	"modp1024s160": "modp1024s160 is within reach of precomputation (Logjam)",
	"modp2048s224": "nobody knows where the prime of modp2048s224 comes from (RFC 8247)",
	"modp2048s256": "nobody knows where the prime of modp2048s256 comes from (RFC 8247)",
	"ecp192":       "ecp192 has less than 112 bits of strength",
}
