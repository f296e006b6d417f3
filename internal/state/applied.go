package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// Applied is what the last successful apply wanted.
type Applied struct {
	Site string    `json:"site"`
	Node string    `json:"node"`
	At   time.Time `json:"at"`
	// File is where the topology was read from: a path, or "-". Dir is the folder to
	// which the paths in it are relative.
	File string `json:"file"`
	Dir  string `json:"dir"`
	// Topology is its text, without the secrets that it carried.
	Topology string `json:"-"`
	// Secrets are the ids of those secrets, and of the ones that came from the
	// environment, a command or a credential, by the path of their key.
	Secrets map[string]secret.ID `json:"secrets,omitempty"`
	// Reading is what State came from; nil where it came from more than that.
	Reading *Reading       `json:"reading,omitempty"`
	State   *desired.State `json:"state"`
}

// Reading is all that the reading of a topology's file depended on, and what it gave
// beside the state: where all of it is as it was, reading again would give the same.
type Reading struct {
	// Program identifies the binary: another one may read otherwise.
	Program string `json:"program"`
	// Name is what messages call the file.
	Name string `json:"name"`
	// Source is the fingerprint of the file's text.
	Source secret.ID `json:"source"`
	// Nodes are the topology's: which of them this host is may have changed.
	Nodes []topology.Node `json:"nodes"`
	// Files are the secrets that were read from files.
	Files []SecretFile `json:"files,omitempty"`
	// Mode is the file's, of which there may be warnings.
	Mode fs.FileMode `json:"mode"`
	// Warnings are what was said of the file.
	Warnings []string `json:"warnings,omitempty"`
}

// SecretFile is a secret that was read from a file.
type SecretFile struct {
	Name     string          `json:"name"`
	Public   bool            `json:"public,omitempty"`
	Encoding secret.Encoding `json:"encoding,omitempty"`
	ID       secret.ID       `json:"id"`
}

// head is the first line of the file. What may be long follows it, in a form that costs
// next to nothing to read: every run reads it. There are the topology's text as it is,
// and the peers of the interfaces, a line each.
type head struct {
	*Applied
	Bytes int   `json:"topology_bytes"`
	Peers []int `json:"peers,omitempty"` // of each interface
}

// Applied returns what was applied last, nil before the first apply. It is not to be
// changed: the same value is returned again while the file stays the same.
func (d *Dir) Applied() (*Applied, error) {
	f, err := d.Files.Read(d.file(appliedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	if d.last.applied != nil && bytes.Equal(f.Data, d.last.data) {
		return d.last.applied, nil
	}
	a, err := parseApplied(f.Data)
	if err != nil {
		return nil, fmt.Errorf("reading state %s: %w", d.file(appliedFile), err)
	}
	d.last.data, d.last.applied = f.Data, a
	return a, nil
}

// SaveApplied remembers what was applied.
func (d *Dir) SaveApplied(a *Applied) error {
	b, err := formatApplied(a)
	if err != nil {
		return fmt.Errorf("encoding state %s: %w", appliedFile, err)
	}
	return d.write(appliedFile, b)
}

func formatApplied(a *Applied) ([]byte, error) {
	bare := *a
	h := head{Applied: &bare, Bytes: len(a.Topology)}
	var interfaces []desired.Interface
	if a.State != nil {
		s := *a.State
		interfaces, s.Interfaces = s.Interfaces, slices.Clone(s.Interfaces)
		for i := range s.Interfaces {
			h.Peers = append(h.Peers, len(s.Interfaces[i].Peers))
			s.Interfaces[i].Peers = nil
		}
		bare.State = &s
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	b = append(b, a.Topology...)
	for i := range interfaces {
		for j := range interfaces[i].Peers {
			b = append(appendPeer(b, &interfaces[i].Peers[j]), '\n')
		}
	}
	return b, nil
}

var errShort = errors.New("the file is damaged: it ends too early")

func parseApplied(data []byte) (*Applied, error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	a := &Applied{}
	h := head{Applied: a}
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, err
	}
	if h.Bytes < 0 || h.Bytes > len(rest) {
		return nil, errShort
	}
	// One string for all: every name in it is a part of it.
	text := string(rest)
	a.Topology, text = text[:h.Bytes], text[h.Bytes:]
	if a.State == nil {
		return a, nil
	}
	if len(h.Peers) != len(a.State.Interfaces) {
		return nil, errShort
	}
	for i, n := range h.Peers {
		var err error
		if a.State.Interfaces[i].Peers, text, err = parsePeers(text, n); err != nil {
			return nil, err
		}
	}
	return a, nil
}
