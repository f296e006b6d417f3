package swanctl

import (
	"errors"
	"fmt"

	"github.com/strongswan/govici/vici"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// Command is one call to charon.
type Command struct {
	Name    string // load-conn and the like
	Message *vici.Message
}

// FromFile returns the calls that swanctl makes for a file's secrets, pools and
// connections, in its order. Certificates and keys are loaded from their folders, whatever
// the file says: see LoadCert and LoadKey.
func FromFile(root *Section, read ReadFile) ([]Command, error) {
	if len(root.Includes) > 0 {
		return nil, errors.New("includes are not followed")
	}
	loaders := []struct {
		section, command string
		load             func(name string, s *Section) (*vici.Message, error)
	}{
		{"secrets", "load-shared", LoadSharedOf},
		{"pools", "load-pool", LoadPoolOf},
		{"connections", "load-conn", func(name string, s *Section) (*vici.Message, error) {
			return LoadConnOf(name, s, read)
		}},
	}
	var commands []Command
	for _, l := range loaders {
		part := root.Sub(l.section)
		if len(part.Includes) > 0 {
			return nil, fmt.Errorf("%s: includes are not followed", l.section)
		}
		for _, name := range part.Names() {
			m, err := l.load(name, part.Sub(name))
			if err != nil {
				return nil, err
			}
			if m != nil {
				commands = append(commands, Command{l.command, m})
			}
		}
	}
	return commands, nil
}

// Reader returns a ReadFile that knows credentials by their paths. A private key is none
// of them: no connection names one.
func Reader(credentials []desired.Credential) ReadFile {
	return func(path string) ([]byte, error) {
		for k := range credentials {
			if c := &credentials[k]; c.Path == path && c.Secret == "" {
				return c.Data, nil
			}
		}
		return nil, fmt.Errorf("%s is missing", path)
	}
}
