package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Head is what a journal begins with.
type Head struct {
	Site  string    `json:"site"`
	Node  string    `json:"node"`
	At    time.Time `json:"at"`
	Steps int       `json:"steps"` // that were planned
}

// Entry is one step that was begun: an operation, and what it leads from and to.
type Entry struct {
	Kind    string          `json:"kind"`
	From    json.RawMessage `json:"from"`
	To      json.RawMessage `json:"to"`
	Objects []string        `json:"objects,omitempty"` // for whoever reads it
	Done    bool            `json:"-"`
}

// Record is all that a journal holds.
type Record struct {
	Head    Head
	Entries []Entry
}

// Begun says how far the apply came, for a message.
func (r *Record) Begun() string {
	last := "nothing was begun"
	for i := len(r.Entries) - 1; i >= 0; i-- {
		if objects := r.Entries[i].Objects; len(objects) > 0 {
			last = "the last was " + objects[0]
			break
		}
	}
	return fmt.Sprintf("%d of %d steps were begun, %s", len(r.Entries), r.Head.Steps, last)
}

// line is one line of the file; exactly one of the fields is set.
type line struct {
	Head *Head  `json:"head,omitempty"`
	Step *Entry `json:"step,omitempty"`
	Done *int   `json:"done,omitempty"` // index of a step
}

// Journal is the file in which an apply writes what it is about to do, a step a line.
// A step is on the disk before it is done, so that it can be undone by whoever finds
// the file.
type Journal struct {
	f *os.File
	n int
}

// Journal opens the journal for an apply. One that a cut-off apply left is continued:
// undoing then leads back to before that one.
func (d *Dir) Journal(h Head) (*Journal, error) {
	old, err := d.Interrupted()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.file(journalFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening journal: %w", err)
	}
	j := &Journal{f: f}
	if old != nil {
		j.n = len(old.Entries)
	}
	if err := j.start(d, h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// start writes the head. Whatever half a line a crash left ends before it.
func (j *Journal) start(d *Dir, h Head) error {
	if info, err := j.f.Stat(); err == nil && info.Size() > 0 {
		if _, err := j.f.WriteString("\n"); err != nil {
			return fmt.Errorf("writing journal: %w", err)
		}
	}
	if err := j.write(line{Head: &h}); err != nil {
		return err
	}
	return d.syncSelf()
}

// syncSelf makes the journal's name last.
func (d *Dir) syncSelf() error {
	f, err := os.Open(d.Path)
	if err != nil {
		return fmt.Errorf("syncing state folder: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing state folder: %w", err)
	}
	return nil
}

// Begin notes a step that is about to be done. When it returns, the note outlasts a loss
// of power.
func (j *Journal) Begin(e Entry) error {
	if err := j.write(line{Step: &e}); err != nil {
		return err
	}
	j.n++
	return nil
}

// Done notes that the step begun last is done. It need not last: undoing a step that was
// not done is harmless.
func (j *Journal) Done() error {
	at := j.n - 1
	return j.append(line{Done: &at})
}

// Close closes the file and leaves it where it is.
func (j *Journal) Close() error { return j.f.Close() }

func (j *Journal) write(l line) error {
	if err := j.append(l); err != nil {
		return err
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("syncing journal: %w", err)
	}
	return nil
}

func (j *Journal) append(l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encoding journal: %w", err)
	}
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("writing journal: %w", err)
	}
	return nil
}

// Interrupted returns what the journal holds, nil where there is none. Whether its apply
// is under way or was cut off, the lock tells.
func (d *Dir) Interrupted() (*Record, error) {
	f, err := os.Open(d.file(journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	return readJournal(f)
}

func readJournal(r io.Reader) (*Record, error) {
	rec := &Record{}
	br := bufio.NewReader(r)
	for {
		b, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return rec, nil // half a line is a step that was never begun
		}
		if err != nil {
			return nil, fmt.Errorf("reading journal: %w", err)
		}
		var l line
		if b = bytes.TrimSpace(b); len(b) == 0 || json.Unmarshal(b, &l) != nil {
			continue // a line that a crash cut and a later apply ended
		}
		rec.add(l)
	}
}

func (r *Record) add(l line) {
	switch {
	case l.Head != nil:
		r.Head = *l.Head
		r.Head.Steps += len(r.Entries)
	case l.Step != nil:
		r.Entries = append(r.Entries, *l.Step)
	case l.Done != nil && *l.Done >= 0 && *l.Done < len(r.Entries):
		r.Entries[*l.Done].Done = true
	}
}

// EndJournal removes the journal: what it describes is settled.
func (d *Dir) EndJournal() error {
	if err := d.Files.Remove(d.file(journalFile)); err != nil {
		return fmt.Errorf("removing journal: %w", err)
	}
	return nil
}
