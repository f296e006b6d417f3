package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// The names below the folder of an apply that is armed: what it waits for, and what was
// applied before it.
const (
	armedFile  = "armed.json"
	beforeFile = "before"
)

// Armed is an apply that goes back by itself unless it is confirmed. Its journal stays
// until then.
type Armed struct {
	Window time.Duration `json:"window"`
	// Boot is the host's when it was armed: another one took the guardian with it.
	Boot string `json:"boot"`
	// Deadline is zero until all steps are made.
	Deadline time.Time `json:"deadline,omitzero"`
	// Number is the apply's in history, 0 for none.
	Number int `json:"number,omitempty"`
	// Destroy says that nothing is to be left, KeepHistory that history is.
	Destroy     bool `json:"destroy,omitempty"`
	KeepHistory bool `json:"keep_history,omitempty"`
}

// Armed returns the apply that is armed, nil for none.
func (d *Dir) Armed() (*Armed, error) {
	a := &Armed{}
	found, err := d.read(armedFile, a)
	if !found || err != nil {
		return nil, err
	}
	return a, nil
}

// Arm stores what an apply waits for, and what was applied before it; nil is nothing.
func (d *Dir) Arm(a *Armed, before *Applied) error {
	if before != nil {
		b, err := formatApplied(before)
		if err != nil {
			return fmt.Errorf("encoding state %s: %w", beforeFile, err)
		}
		if err := d.write(beforeFile, b); err != nil {
			return err
		}
	}
	return d.SaveArmed(a)
}

// SaveArmed stores what an apply waits for.
func (d *Dir) SaveArmed(a *Armed) error { return d.save(armedFile, a) }

// Before returns what was applied before the apply that is armed, nil for nothing.
func (d *Dir) Before() (*Applied, error) {
	f, err := d.Files.Read(d.file(beforeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	a, err := parseApplied(f.Data)
	if err != nil {
		return nil, fmt.Errorf("reading state %s: %w", d.file(beforeFile), err)
	}
	return a, nil
}

// Disarm forgets that an apply waits; none is success.
func (d *Dir) Disarm() error {
	// What says that one waits goes first: without it the other means nothing.
	for _, name := range []string{armedFile, beforeFile} {
		if err := d.Files.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("disarming: %w", err)
		}
	}
	return nil
}

// Unapply forgets what was applied, and nothing else.
func (d *Dir) Unapply() error {
	if err := d.Files.Remove(d.file(appliedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting what was applied: %w", err)
	}
	return nil
}

// Due is when an armed apply goes back: at its deadline, and where it died before it had
// one, its window after the last step that it began.
func (d *Dir) Due(a *Armed) (time.Time, error) {
	if !a.Deadline.IsZero() {
		return a.Deadline, nil
	}
	info, err := os.Stat(d.file(journalFile))
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for the last step: %w", err)
	}
	return info.ModTime().Add(a.Window), nil
}
