package ipsec

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// masked stands where a secret would be.
const masked = "(secret)"

// Render returns the files that a node gets, as far as they do not depend on its host.
// Secrets that reveal does not know are masked.
func Render(i *desired.IPsec, reveal func(secret.ID) (string, bool)) ([]desired.File, error) {
	if i.IsZero() {
		return nil, nil
	}
	show := func(id secret.ID) ([]byte, error) {
		if text, ok := reveal(id); ok {
			return []byte(text), nil
		}
		return []byte(masked), nil
	}
	text, err := swanctl.Render(i, show)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", confFile, err)
	}
	hidden := "0s" + base64.StdEncoding.EncodeToString([]byte(masked))
	files := []desired.File{desiredFile(confFile, bytes.ReplaceAll(text, []byte(hidden), []byte(masked)), true)}
	w := &wanted{IPsec: i}
	if _, err := w.settleCredentials(show); err != nil {
		return nil, err
	}
	for _, f := range append(w.certs, w.secret...) {
		if len(f.Data) == 0 || string(f.Data) == masked {
			f.Data = []byte(masked + "\n") // of a certificate it is not known, for it was not read
		}
		files = append(files, f)
	}
	if asks, uses := resolvers(i); asks {
		s := &settings{Plugins: map[string]bool{pluginResolve: uses}}
		files = append(files, desiredFile(settingsFile, s.render(), false))
	}
	return files, nil
}
