package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// idPrefix begins every id; see secret.ID.
const idPrefix = "secret:"

// The names below the state folder.
const (
	keyFile   = "fingerprint.key"
	secretDir = "secrets"
)

// keySize is the size of the fingerprint's key in bytes, as RFC 2104 wants it for
// SHA-256.
const keySize = sha256.Size

// Vault holds the secrets of one state folder. It is safe for concurrent use.
type Vault struct {
	dir   string
	files host.Files

	mu     sync.Mutex
	key    []byte
	stored bool // the key is on disk
	known  map[secret.ID]secret.Value
}

var _ backend.Secrets = (*Vault)(nil)

// Open opens the vault of a state folder. It makes nothing there: on a host without one,
// ids are under a key that the first Keep stores.
func Open(dir string, files host.Files) (*Vault, error) {
	v := &Vault{dir: dir, files: files, known: map[secret.ID]secret.Value{}}
	f, err := files.Read(filepath.Join(dir, keyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.key = newKey()
		return v, nil
	case err != nil:
		return nil, fmt.Errorf("reading fingerprint key: %w", err)
	case len(f.Data) != keySize:
		return nil, fmt.Errorf("reading fingerprint key: %d bytes instead of %d", len(f.Data), keySize)
	}
	v.key, v.stored = f.Data, true
	return v, nil
}

// Ephemeral is a vault without a state folder, for who only looks. Keep fails on it.
func Ephemeral() *Vault {
	return &Vault{files: host.Disk{}, key: newKey(), known: map[secret.ID]secret.Value{}}
}

// Dir is the state folder, "" where there is none.
func (v *Vault) Dir() string { return v.dir }

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails; see crypto/rand
	return key
}

// ID implements backend.Secrets. The value can be had back by the id from then on, in
// this process; Keep makes it last.
func (v *Vault) ID(value secret.Value) secret.ID {
	if value.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, v.key)
	b := value.Reveal()
	mac.Write(b)
	clear(b)
	id := secret.ID(idPrefix + hex.EncodeToString(mac.Sum(nil)[:16]))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[id] = value
	return id
}

// Value implements backend.Secrets. An id that nobody keeps is fs.ErrNotExist.
func (v *Vault) Value(id secret.ID) (secret.Value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if value, ok := v.known[id]; ok {
		return value, nil
	}
	name, err := v.path(id)
	if err != nil {
		return secret.Value{}, err
	}
	f, err := v.files.Read(name)
	if err != nil {
		return secret.Value{}, fmt.Errorf("reading %s: %w", id, err)
	}
	value := secret.New(f.Data)
	clear(f.Data)
	v.known[id] = value
	return value, nil
}

// path is the file of an id; one that is not of our making is refused, for it would name
// any file.
func (v *Vault) path(id secret.ID) (string, error) {
	digits, ok := strings.CutPrefix(string(id), idPrefix)
	if _, err := hex.DecodeString(digits); !ok || err != nil || len(digits) != 32 {
		return "", fmt.Errorf("reading secret: %q is no id", string(id))
	}
	return filepath.Join(v.dir, secretDir, digits), nil
}

// Keep stores values that have to outlive this process, each once. The state folder
// must exist.
func (v *Vault) Keep(ids ...secret.ID) error {
	if err := v.storeKey(); err != nil {
		return err
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if err := v.keep(id); err != nil {
			return fmt.Errorf("keeping %s: %w", id, err)
		}
	}
	return nil
}

func (v *Vault) keep(id secret.ID) error {
	name, err := v.path(id)
	if err != nil {
		return err
	}
	if _, err := v.files.Read(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	value, err := v.Value(id)
	if err != nil {
		return err
	}
	return v.files.Replace(name, private(value.Reveal()))
}

// private is a file of ours that nobody else may read.
func private(b []byte) host.File {
	return host.File{Data: b, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
}

// storeKey makes the folder for secrets and the key that goes with them.
func (v *Vault) storeKey() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.stored:
		return nil
	case v.dir == "":
		return errors.New("keeping secrets: there is no state folder")
	}
	if err := os.MkdirAll(filepath.Join(v.dir, secretDir), 0o700); err != nil {
		return fmt.Errorf("making folder for secrets: %w", err)
	}
	if err := v.files.Replace(filepath.Join(v.dir, keyFile), private(v.key)); err != nil {
		return fmt.Errorf("storing fingerprint key: %w", err)
	}
	v.stored = true
	return nil
}

// Prune removes the stored secrets that nothing refers to any more.
func (v *Vault) Prune(needed map[secret.ID]bool) error {
	entries, err := os.ReadDir(filepath.Join(v.dir, secretDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing secrets: %w", err)
	}
	for _, e := range entries {
		if needed[secret.ID(idPrefix+e.Name())] {
			continue
		}
		if err := v.files.Remove(filepath.Join(v.dir, secretDir, e.Name())); err != nil {
			return fmt.Errorf("removing secret: %w", err)
		}
	}
	return nil
}

// Collect finds all ids in a value's JSON: what refers to secrets does so by id, wherever
// in the value it stands.
func Collect(raw []byte, into map[secret.ID]bool) {
	for {
		at := bytes.Index(raw, []byte(idPrefix))
		if at < 0 {
			return
		}
		raw = raw[at:]
		end := len(idPrefix) + 32
		if len(raw) < end {
			return
		}
		into[secret.ID(raw[:end])] = true
		raw = raw[end:]
	}
}
