package swanctl

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/strongswan/govici/vici"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// Dir is where swanctl's files are.
const Dir = "/etc/swanctl"

// ReadFile returns the content of a file by its path.
type ReadFile func(path string) ([]byte, error)

// LoadConn returns the message of load-conn for a connection.
func LoadConn(c *desired.Connection, read ReadFile) (*vici.Message, error) {
	s, err := Connection(c)
	if err != nil {
		return nil, err
	}
	return LoadConnOf(c.Name, s, read)
}

// LoadBypass returns the message of load-conn for what keeps traffic local.
func LoadBypass(p *desired.Bypass) (*vici.Message, error) {
	s, err := Bypass(p)
	if err != nil {
		return nil, err
	}
	return LoadConnOf(p.Name, s, nil)
}

// LoadPool returns the message of load-pool.
func LoadPool(p *desired.Pool) (*vici.Message, error) {
	s, err := Pool(p)
	if err != nil {
		return nil, err
	}
	return LoadPoolOf(p.Name, s)
}

// LoadShared returns the message of load-shared for a PSK or a password.
func LoadShared(s *desired.CharonSecret, value []byte) (*vici.Message, error) {
	section, err := Secret(s, value)
	if err != nil {
		return nil, err
	}
	return LoadSharedOf(s.Name, section)
}

// lists are the keys of a connection that are lists on the socket, fileLists those that
// are lists of files there: it gets their content.
var (
	lists = []string{
		"local_addrs", "remote_addrs", "proposals", "esp_proposals", "ah_proposals", "local_ts", "remote_ts",
		"vips", "pools", "groups", "cert_policy",
	}
	fileLists = map[string]string{"certs": "x509", "cacerts": "x509ca", "pubkeys": "pubkey"}
)

// LoadConnOf returns the message of load-conn for a section of connections.
func LoadConnOf(name string, s *Section, read ReadFile) (*vici.Message, error) {
	conn, err := connMessage(s, read)
	if err != nil {
		return nil, fmt.Errorf("connections.%s: %w", name, err)
	}
	return message(name, conn), nil
}

func connMessage(s *Section, read ReadFile) (*vici.Message, error) {
	if len(s.Includes) > 0 {
		return nil, errors.New("includes are not followed")
	}
	m := vici.NewMessage()
	for _, key := range s.Keys() {
		switch folder := fileLists[strings.ToLower(key)]; {
		case folder != "":
			data, err := contents(s.Items(key), folder, read)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			set(m, key, data)
		case slices.Contains(lists, strings.ToLower(key)):
			set(m, key, nonNil(s.Items(key)))
		default:
			set(m, key, s.Values[key])
		}
	}
	for _, name := range s.Names() {
		sub, err := connMessage(s.Sub(name), read)
		if err != nil {
			return nil, err
		}
		set(m, name, sub)
	}
	return m, nil
}

// contents reads the files of a list. One that begins with 0x or 0s is its own content.
func contents(names []string, folder string, read ReadFile) ([]string, error) {
	list := make([]string, 0, len(names))
	for _, name := range names {
		if data, ok, err := decode(name); ok {
			if err != nil {
				return nil, err
			}
			list = append(list, string(data))
			continue
		}
		data, err := read(FilePath(folder, name))
		if err != nil {
			return nil, err
		}
		list = append(list, string(data))
	}
	return list, nil
}

// FilePath is where swanctl looks for a file that a connection names: in a folder of its
// own, unless the name is a path.
func FilePath(folder, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(Dir, folder, name)
}

// Files lists the paths of the certificates and public keys that a connection names.
func Files(s *Section) []string {
	var paths []string
	for _, key := range s.Keys() {
		folder := fileLists[strings.ToLower(key)]
		if folder == "" {
			continue
		}
		for _, name := range s.Items(key) {
			if _, ok, _ := decode(name); !ok {
				paths = append(paths, FilePath(folder, name))
			}
		}
	}
	for _, name := range s.Names() {
		paths = append(paths, Files(s.Sub(name))...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// LoadPoolOf returns the message of load-pool for a section of pools. All but the
// addresses are lists.
func LoadPoolOf(name string, s *Section) (*vici.Message, error) {
	if len(s.Includes) > 0 {
		return nil, fmt.Errorf("pools.%s: includes are not followed", name)
	}
	pool := vici.NewMessage()
	for _, key := range s.Keys() {
		if key == "addrs" {
			set(pool, key, s.Values[key])
			continue
		}
		set(pool, key, nonNil(s.Items(key)))
	}
	return message(name, pool), nil
}

// LoadSharedOf returns the message of load-shared for a section of secrets. A section that
// swanctl does not load into charon has none: the message is nil.
func LoadSharedOf(name string, s *Section) (*vici.Message, error) {
	kind := kindOf(name)
	if !slices.Contains(sharedKinds, kind) {
		return nil, nil
	}
	data, err := SecretBytes(name, s)
	if err != nil {
		return nil, err
	}
	return message("id", name, "type", kind, "data", string(data), "owners", nonNil(Owners(s))), nil
}

// Owners lists the ids to which a secret is bound.
func Owners(s *Section) []string {
	var owners []string
	for _, key := range s.Keys() {
		if strings.HasPrefix(key, "id") {
			owners = append(owners, s.Values[key])
		}
	}
	return owners
}

// SecretBytes returns the secret of a section of secrets, decoded as swanctl decodes it. A
// passphrase is taken as it stands.
func SecretBytes(name string, s *Section) ([]byte, error) {
	text, ok := s.Values["secret"]
	if !ok {
		return nil, fmt.Errorf("secrets.%s has no secret", name)
	}
	if !slices.Contains(sharedKinds, kindOf(name)) {
		return []byte(text), nil
	}
	data, encoded, err := decode(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("secrets.%s: %w", name, err)
	case !encoded:
		return []byte(text), nil
	}
	return data, nil
}

// decode reads what begins with 0x (hexadecimal digits) or 0s (base64). The text may be
// secret, so that no error repeats it.
func decode(text string) (data []byte, encoded bool, err error) {
	if len(text) < 2 {
		return nil, false, nil
	}
	switch digits := text[2:]; strings.ToLower(text[:2]) {
	case "0x":
		data, err = hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	case "0s":
		data, err = base64.StdEncoding.DecodeString(digits)
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, true, errors.New("not what its prefix says: 0x wants hexadecimal digits, 0s base64")
	}
	return data, true, nil
}

// LoadCert returns the message of load-cert for a file below one of swanctl's folders,
// which says what kind of certificate it is.
func LoadCert(file string, data []byte) (*vici.Message, error) {
	switch folder := path.Base(path.Dir(file)); folder {
	case "x509":
		return message("type", "X509", "flag", "NONE", "data", string(data)), nil
	case "x509ca":
		return message("type", "X509", "flag", "CA", "data", string(data)), nil
	case "pubkey":
		return message("type", "PUBKEY", "data", string(data)), nil
	default:
		return nil, fmt.Errorf("%s: swanctl reads no certificates from %s", file, folder)
	}
}

// LoadKey returns the message of load-key for a private key that no passphrase closes.
func LoadKey(data []byte) *vici.Message { return message("type", "any", "data", string(data)) }

// message builds a message of pairs.
func message(pairs ...any) *vici.Message {
	m := vici.NewMessage()
	for i := 0; i < len(pairs); i += 2 {
		set(m, pairs[i].(string), pairs[i+1])
	}
	return m
}

// set sets a key to text, a list or a message. Those always go in.
func set(m *vici.Message, key string, value any) {
	if err := m.Set(key, value); err != nil {
		panic(err)
	}
}

// nonNil makes an empty list of none: a key that is set is sent.
func nonNil(items []string) []string {
	if items == nil {
		return []string{}
	}
	return items
}
