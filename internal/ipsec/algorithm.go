package ipsec

import (
	"regexp"
	"strings"

	"github.com/strongswan/govici/vici"
)

// keysOf lists the keys of a section in an answer, none where it is no section.
func keysOf(v any) []string {
	m, ok := v.(*vici.Message)
	if !ok {
		return nil
	}
	return m.Keys()
}

// The packages that hold plugins for what a minimal charon lacks, in Debian's names.
const (
	extraPlugins    = "libstrongswan-extra-plugins"
	standardPlugins = "libstrongswan-standard-plugins"
	basePlugins     = "libstrongswan"
)

// known are words of proposals whose name in get-algorithms follows no rule.
var known = map[string][2]string{
	"3des":             {"3DES_CBC", basePlugins},
	"des":              {"DES_CBC", standardPlugins},
	"null":             {"NULL", standardPlugins},
	"cast128":          {"CAST_CBC", standardPlugins},
	"chacha20poly1305": {"CHACHA20_POLY1305", extraPlugins},
	"md5":              {"HMAC_MD5_96", basePlugins},
	"sha":              {"HMAC_SHA1_96", basePlugins},
	"sha1":             {"HMAC_SHA1_96", basePlugins},
	"sha256":           {"HMAC_SHA2_256_128", basePlugins},
	"sha384":           {"HMAC_SHA2_384_192", basePlugins},
	"sha512":           {"HMAC_SHA2_512_256", basePlugins},
	"sha2_256":         {"HMAC_SHA2_256_128", basePlugins},
	"sha2_384":         {"HMAC_SHA2_384_192", basePlugins},
	"sha2_512":         {"HMAC_SHA2_512_256", basePlugins},
	"aesxcbc":          {"AES_XCBC_96", basePlugins},
	"aescmac":          {"AES_CMAC_96", basePlugins},
	"prfmd5":           {"PRF_HMAC_MD5", basePlugins},
	"prfsha1":          {"PRF_HMAC_SHA1", basePlugins},
	"prfsha256":        {"PRF_HMAC_SHA2_256", basePlugins},
	"prfsha384":        {"PRF_HMAC_SHA2_384", basePlugins},
	"prfsha512":        {"PRF_HMAC_SHA2_512", basePlugins},
	"prfaesxcbc":       {"PRF_AES128_XCBC", basePlugins},
	"prfaescmac":       {"PRF_AES128_CMAC", basePlugins},
	"x25519":           {"CURVE_25519", standardPlugins},
	"curve25519":       {"CURVE_25519", standardPlugins},
	"x448":             {"CURVE_448", standardPlugins},
	"curve448":         {"CURVE_448", standardPlugins},
	"modp1024s160":     {"MODP_1024_160", standardPlugins},
	"modp2048s224":     {"MODP_2048_224", standardPlugins},
	"modp2048s256":     {"MODP_2048_256", standardPlugins},
}

// family is words of one form: what get-algorithms calls them, and where they are.
type family struct {
	pattern *regexp.Regexp
	name    string
	plugin  string
}

var families = []family{
	{regexp.MustCompile(`^(aes|camellia|blowfish|serpent|twofish)(?:128|192|256)?$`), "${1}_CBC", standardPlugins},
	{regexp.MustCompile(`^(aes|camellia)(?:128|192|256)ctr$`), "${1}_CTR", extraPlugins},
	{regexp.MustCompile(`^(aes|camellia)(?:128|192|256)(gcm|ccm)(8|12|16)$`), "${1}_${2}_${3}", standardPlugins},
	{regexp.MustCompile(`^modp(\d+)$`), "MODP_${1}", basePlugins},
	{regexp.MustCompile(`^ecp(\d+)$`), "ECP_${1}", standardPlugins},
	{regexp.MustCompile(`^ecp(\d+)bp$`), "ECP_${1}_BP", standardPlugins},
	{regexp.MustCompile(`^mlkem(\d+)$`), "ML_KEM_${1}", standardPlugins},
}

// algorithm is what get-algorithms calls a word of a proposal, and the package whose
// plugins have it; "" where that is not known here, which refuses nothing.
func algorithm(word string) (name, plugin string) {
	if len(word) > 4 && strings.HasPrefix(word, "ke") && word[3] == '_' {
		word = word[4:]
	}
	if k, ok := known[word]; ok {
		return k[0], k[1]
	}
	for _, f := range families {
		if m := f.pattern.FindStringSubmatchIndex(word); m != nil {
			name := string(f.pattern.ExpandString(nil, f.name, word, m))
			return strings.ToUpper(name), f.plugin
		}
	}
	return "", ""
}
