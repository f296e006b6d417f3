package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// Header begins the first line of every file of ours that has comments, and the other one
// where a semicolon begins them.
const (
	Header          = "# Written by vpnctl"
	SemicolonHeader = "; Written by vpnctl"
)

func hasHeader(data []byte) bool {
	if bytes.HasPrefix(data, []byte("#!")) { // of a script, whose first line is the kernel's
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return bytes.HasPrefix(data, []byte(Header)) || bytes.HasPrefix(data, []byte(SemicolonHeader))
}

// Owner plans the whole files of one backend.
type Owner struct {
	Files host.Tree
	Kind  backend.Kind // whose files they are: no other backend removes them
	// Secrets, where it is not nil, makes the content of all files of this owner secret:
	// plan, journal and memory hold its id. Their steps need SecretHandler.
	Secrets backend.Secrets
}

// record is what the memory keeps of a file of ours, under recordKey.
type record struct {
	Owner backend.Kind `json:"owner"`
	// Adopted is the file that stood there before and was not vpnctl's.
	Adopted *host.File `json:"adopted,omitempty"`
	// Content stands for Adopted.Data where the owner's files are secret.
	Content secret.ID `json:"content,omitempty"`
	// Folders are those that were made for it, outermost first.
	Folders []string `json:"folders,omitempty"`
}

// recordKey is a file's key of backend.Memory. It has no owner in it, so that a folder
// made for the file of one backend is known to the next.
func recordKey(path string) string { return string(backend.File) + path }

// observed is what stands where a file of ours shall be.
type observed struct {
	typ    fs.FileMode // 0 for a plain file, or for nothing
	blocks string      // a part of the path that is no folder, "" where all are
	file   *host.File  // nil where there is no plain file
	record *record     // nil where the memory knows none of ours
	// packaged says that it is as its package brought it: nobody's.
	packaged bool
}

// plain reports whether the path is free or holds a plain file.
func (o *observed) plain() bool { return o.typ == 0 && o.blocks == "" }

// foreign reports whether a file is there that somebody else wrote.
func (o *observed) foreign() bool {
	return o.before() && !o.packaged
}

// before reports whether a file is there that was not vpnctl's: it comes back in the end.
func (o *observed) before() bool {
	return o.file != nil && o.record == nil && !hasHeader(o.file.Data)
}

func (w Owner) observe(in backend.Input, path string) (*observed, error) {
	var o observed
	var r record
	if in.Memory.Get(recordKey(path), &r) {
		o.record = &r
	}
	typ, err := w.Files.Type(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, o.blocks, err = above(w.Files, path)
		return &o, err
	}
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", path, err)
	}
	if o.typ = typ; !o.plain() {
		return &o, nil
	}
	f, err := w.Files.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &o, nil // gone in between
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	o.file = &f
	if o.before() {
		o.packaged = packaged(w.Files, path, f.Data)
	}
	return &o, nil
}

// Check refuses what Plan would have to overwrite: a foreign file, unless it may be
// adopted or is as its package brought it, and anything that is no plain file.
func (w Owner) Check(in backend.Input, want []desired.File) error {
	var errs []error
	for _, f := range want {
		o, err := w.observe(in, f.Path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case o.blocks != "":
			errs = append(errs, backend.Refuse(object(f.Path), "move it away", "%s is no folder", o.blocks))
		case !o.plain():
			errs = append(errs, backend.Refuse(object(f.Path), "move it away", "%s stands there", typeName(o.typ)))
		case o.foreign() && !in.Options.Adopt:
			errs = append(errs, backend.Refuse(object(f.Path), "move it away, or run apply --adopt",
				"a file that is not vpnctl's stands there"))
		}
	}
	return errors.Join(errs...)
}

// Plan returns the steps that write the wanted files and remove the others of this owner.
func (w Owner) Plan(in backend.Input, want []desired.File) ([]backend.Step, error) {
	var steps []backend.Step
	wanted := map[string]bool{}
	for _, f := range sorted(want) {
		wanted[f.Path] = true
		s, err := w.write(in, f)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s...)
	}
	for _, path := range w.Owned(in.Memory) {
		if wanted[path] {
			continue
		}
		s, err := w.remove(in, path)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s...)
	}
	return steps, nil
}

// Owned lists the files that the memory knows as this owner's, sorted.
func (w Owner) Owned(m backend.Memory) []string {
	var paths []string
	for key := range m {
		path, ok := strings.CutPrefix(key, string(backend.File))
		var r record
		if ok && strings.HasPrefix(path, "/") && m.Get(key, &r) && r.Owner == w.Kind {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// write plans one wanted file.
func (w Owner) write(in backend.Input, want desired.File) ([]backend.Step, error) {
	o, err := w.observe(in, want.Path)
	if err != nil || !o.plain() {
		return nil, err // what is no plain file is Check's matter
	}
	var steps []backend.Step
	r := o.record
	if r == nil {
		if r, err = w.newRecord(in, want.Path, o); err != nil {
			return nil, err
		}
		steps = append(steps, backend.Remember(backend.PhaseMemory, recordKey(want.Path), nil, r))
	}
	wanted := host.File{Data: want.Data, Mode: want.Mode}
	to := w.state(want.Path, wanted, r.Folders)
	if o.file == nil {
		change := backend.Change{Action: backend.Create, Object: object(want.Path), Fields: w.fields(nil, &wanted)}
		return append(steps, Step(backend.PhaseFile, nil, to, change)), nil
	}
	change := backend.Change{Action: backend.Update, Object: object(want.Path), Fields: w.fields(o.file, &wanted)}
	if o.foreign() {
		change.Note = "takes over a file that is not vpnctl's"
	}
	if len(change.Fields) == 0 {
		return steps, nil
	}
	from := w.state(want.Path, *o.file, r.Folders)
	return append(steps, Step(backend.PhaseFile, from, to, change)), nil
}

// state is a file as an operation holds it. An empty file has no secret.
func (w Owner) state(path string, f host.File, folders []string) *State {
	s := &State{Path: path, File: f, Folders: folders}
	if w.Secrets != nil && len(f.Data) > 0 {
		s.Content, s.Data = w.Secrets.ID(secret.New(f.Data)), nil
	}
	return s
}

// fields compares two files, and hides what is secret.
func (w Owner) fields(have, want *host.File) []backend.Field {
	out := fields(have, want)
	for i := range out {
		if w.Secrets != nil && out[i].Name == "content" {
			out[i].Want = backend.Secret()
			if have != nil {
				out[i].Have = backend.Secret()
			}
		}
	}
	return out
}

// newRecord is what the memory shall keep of a file that it does not know yet.
func (w Owner) newRecord(in backend.Input, path string, o *observed) (*record, error) {
	r := &record{Owner: w.Kind}
	if o.before() {
		adopted := w.state(path, *o.file, nil)
		r.Adopted, r.Content = &adopted.File, adopted.Content
	}
	gone, _, err := above(w.Files, path)
	if err != nil {
		return nil, err
	}
	// A folder that an earlier file of ours brought along is as much this one's: the
	// last of them takes it away.
	for key := range in.Memory {
		var other record
		if strings.HasPrefix(key, string(backend.File)+"/") && in.Memory.Get(key, &other) {
			for _, folder := range other.Folders {
				if strings.HasPrefix(path, folder+"/") {
					gone = append(gone, folder)
				}
			}
		}
	}
	slices.Sort(gone) // a folder sorts before what is in it
	r.Folders = slices.Compact(gone)
	return r, nil
}

// remove plans the end of one file of ours: what stood there before comes back.
func (w Owner) remove(in backend.Input, path string) ([]backend.Step, error) {
	o, err := w.observe(in, path)
	if err != nil {
		return nil, err
	}
	forget := backend.Remember(backend.PhaseForget, recordKey(path), o.record, nil)
	if !o.plain() {
		return []backend.Step{forget}, nil // somebody put something else there: theirs
	}
	var from, to *State
	if o.file != nil {
		from = w.state(path, *o.file, o.record.Folders)
	}
	if o.record.Adopted != nil {
		to = &State{Path: path, File: *o.record.Adopted, Content: o.record.Content, Folders: o.record.Folders}
	}
	if from == nil && to == nil && w.anyThere(o.record.Folders) {
		from = &State{Path: path, Folders: o.record.Folders, Gone: true}
		return []backend.Step{Step(backend.PhaseRemoveFile, from, nil), forget}, nil
	}
	if same(from, to) {
		return []backend.Step{forget}, nil
	}
	change := backend.Change{Action: backend.Delete, Object: object(path)}
	if to != nil {
		change.Note = "puts back the file from before"
	}
	return []backend.Step{Step(backend.PhaseRemoveFile, from, to, change), forget}, nil
}

// anyThere reports whether one of the folders is there.
func (w Owner) anyThere(folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		typ, err := w.Files.Type(folder)
		return err == nil && typ.IsDir()
	})
}

// sorted returns the files in the order of their paths, so that plans do not depend on
// the order of what is wanted.
func sorted(files []desired.File) []desired.File {
	return slices.SortedFunc(slices.Values(files), func(a, b desired.File) int { return cmp.Compare(a.Path, b.Path) })
}
