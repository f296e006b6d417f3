package desired

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

func credentialPath(folder, file string) string { return path.Join("/etc/swanctl", folder, file) }

// ownCertificate copies the node's certificate, and those of the authorities between if
// they stand in the same file. It returns its public key, nil where that is not known.
func (b *ipsecBuilder) ownCertificate(c *topology.Connection, id string, ref *secret.Ref, a *Auth) any {
	names, certs := b.certificates(c, folderCert, ref)
	if len(names) == 0 {
		return nil
	}
	a.Certs = names[:1] // the others are found when they are needed
	if len(certs) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(certs[0])
	if err != nil {
		return nil // charon may be less strict
	}
	if ok, held := holds(leaf, id); !ok {
		b.errorf(ref.Pos, "%s does not hold the id %q: it holds %s", ref, id, strings.Join(held, ", "))
	}
	return leaf.PublicKey
}

// certificates copies the certificates of a file, and returns their names below folder
// and their content in DER, none of that from a masked source.
func (b *ipsecBuilder) certificates(c *topology.Connection, folder string, ref *secret.Ref) (names []string, certs [][]byte) {
	if ref == nil {
		return nil, nil
	}
	base := "vpnctl-" + c.Name
	r := b.secret(ref)
	if r.masked {
		b.held.Credentials = append(b.held.Credentials, Credential{Path: credentialPath(folder, base+".crt"), Mode: 0o644})
		return []string{base + ".crt"}, nil
	}
	if !r.ok {
		return nil, nil
	}
	certs, err := splitPEM(r.value.Reveal(), "CERTIFICATE")
	if err != nil {
		b.errorf(ref.Pos, "%s %w", ref, err)
	}
	for i, der := range certs {
		name := base + ".crt"
		if i > 0 {
			name = base + "." + strconv.Itoa(i+1) + ".crt"
		}
		names = append(names, name)
		b.held.Credentials = append(b.held.Credentials, Credential{
			Path: credentialPath(folder, name), Mode: 0o644,
			Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		})
	}
	return names, certs
}

// publicKey copies the raw public key of an end, and returns its name and itself, nil
// where it is not known.
func (b *ipsecBuilder) publicKey(c *topology.Connection, end string, ref *secret.Ref) (names []string, key any) {
	if ref == nil {
		return nil, nil
	}
	name := "vpnctl-" + c.Name + "." + end + ".pub"
	cred := Credential{Path: credentialPath(folderPubKey, name), Mode: 0o644}
	r := b.secret(ref)
	if r.shown() {
		keys, err := splitPEM(r.value.Reveal(), "PUBLIC KEY")
		if err != nil {
			b.errorf(ref.Pos, "%s %w", ref, err)
			return nil, nil
		}
		cred.Data = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: keys[0]})
		key, _ = x509.ParsePKIXPublicKey(keys[0])
	}
	b.held.Credentials = append(b.held.Credentials, cred)
	return []string{name}, key
}

// splitPEM returns the blocks of one type in DER. What is no PEM at all is taken for one
// in DER.
func splitPEM(data []byte, kind string) ([][]byte, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		der, ok := wholeDER(data)
		if !ok {
			return nil, errors.New("is neither PEM nor DER")
		}
		return [][]byte{der}, nil
	}
	var out [][]byte
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type == kind {
			out = append(out, block.Bytes)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("has no block " + kind + " in it")
	}
	return out, nil
}

// wholeDER takes one structure in DER, with the line end that may have been taken off
// because it looked like that of a text.
func wholeDER(data []byte) ([]byte, bool) {
	for _, end := range []string{"", "\n", "\r\n"} {
		der := append(bytes.Clone(data), end...)
		var value asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &value); err == nil && len(rest) == 0 && value.IsCompound {
			return der, true
		}
	}
	return nil, false
}

// holds reports whether a certificate is one of an id, as charon sees it: the name in it
// or one beside; and what it holds. An id of a kind that is not known here is taken as
// held.
func holds(cert *x509.Certificate, id string) (ok bool, held []string) {
	held = append(held, strconv.Quote(cert.Subject.String()))
	names := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		if a, valid := netip.AddrFromSlice(ip); valid {
			names = append(names, a.Unmap().String())
		}
	}
	held = append(held, names...)
	if a, err := netip.ParseAddr(id); err == nil {
		return slices.Contains(names, a.Unmap().String()), held
	}
	switch {
	case id == anywhere, strings.HasPrefix(id, "@#"), strings.Contains(id, ":"), strings.ContainsAny(id, "*"):
		return true, held
	case strings.Contains(id, "="):
		return sameName(cert, id), held
	}
	id = strings.TrimPrefix(strings.TrimPrefix(id, "@"), "@")
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, id) }), held
}

// sameName compares a subject with a name in strongSwan's text: the same parts, whatever
// their order and their kinds are called.
func sameName(cert *x509.Certificate, id string) bool {
	var want, have []string
	for _, part := range strings.FieldsFunc(id, func(r rune) bool { return r == ',' || r == '/' || r == '+' }) {
		_, value, _ := strings.Cut(part, "=")
		want = append(want, strings.Trim(strings.TrimSpace(value), `"`))
	}
	for _, name := range cert.Subject.Names {
		text, isText := name.Value.(string)
		if !isText || strings.ContainsAny(text, `,/+="`) {
			return true // not comparable in this simple way
		}
		have = append(have, text)
	}
	slices.Sort(want)
	slices.Sort(have)
	return slices.EqualFunc(want, have, strings.EqualFold)
}
