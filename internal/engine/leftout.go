package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// LeftOut is an object that a boot could not bring up, and why.
type LeftOut struct {
	Kind   backend.Kind `json:"kind"`
	Object string       `json:"object"`
	Reason string       `json:"reason"`
}

// leftOutFile is below the run folder: the next boot tries everything anyway.
const leftOutFile = "left-out.json"

// LeftOut returns what the last boot has left out, and nothing has brought up since.
func (e *Engine) LeftOut() ([]LeftOut, error) {
	b, err := os.ReadFile(filepath.Join(e.RunDir, leftOutFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was left out: %w", err)
	}
	var left []LeftOut
	if err := json.Unmarshal(b, &left); err != nil {
		return nil, fmt.Errorf("reading what was left out: %w", err)
	}
	return left, nil
}

// saveLeftOut is called under the lock, which made the folder.
func (e *Engine) saveLeftOut(left []LeftOut) error {
	name := filepath.Join(e.RunDir, leftOutFile)
	if len(left) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting what was left out: %w", err)
		}
		return nil
	}
	b, err := json.Marshal(left)
	if err != nil {
		return fmt.Errorf("encoding what was left out: %w", err)
	}
	f := host.File{Data: append(b, '\n'), Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
	if err := (host.Disk{}).Replace(name, f); err != nil {
		return fmt.Errorf("noting what was left out: %w", err)
	}
	return nil
}
