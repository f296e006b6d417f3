package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// opSet is the operation kind of a setting.
const opSet = "sysctl.set"

// setting is one key as an operation leads from or to it.
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// Beside is what shall stand in keys that a write of Key may have changed. They
	// are data and not read by the handler: it may run after a write that was cut off,
	// when what was there is gone.
	Beside map[string]string `json:"beside,omitempty"`
}

// handler does opSet.
func handler(s host.Settings) backend.Handler {
	return backend.Handle(func(_ context.Context, _, to *setting) error {
		if to == nil {
			return nil // of an interface that was not there: it takes its settings along
		}
		err := set(s, to.Key, to.Value)
		if errors.Is(err, fs.ErrNotExist) && ofInterface(to.Key) {
			return nil // it has gone since, with its settings
		}
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(to.Beside)) {
			// An interface may have gone since: nothing to put back there.
			if err := set(s, key, to.Beside[key]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// set writes a value unless it is there: a write has effects even where it changes nothing.
func set(s host.Settings, key, value string) error {
	have, ok, err := get(s, key)
	if err != nil {
		return err
	}
	if ok && have == value {
		return nil
	}
	if err := s.Set(key, value); err != nil {
		return fmt.Errorf("setting %s to %s: %w", dotted(key), value, err)
	}
	return nil
}

// get reads a value, and reports whether the kernel has the key.
func get(s host.Settings, key string) (string, bool, error) {
	v, err := s.Get(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("reading %s: %w", dotted(key), err)
	}
	return normal(v), true, nil
}

// normal is a value in the one form in which it is compared: the kernel separates the
// numbers of a list by tabs, people by blanks.
func normal(value string) string { return strings.Join(strings.Fields(value), " ") }
