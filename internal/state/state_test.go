package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/secret"
)

func newDir(t *testing.T) *Dir {
	t.Helper()
	return &Dir{Path: filepath.Join(t.TempDir(), "state"), Files: host.Disk{}}
}

func TestNothingThere(t *testing.T) {
	d := newDir(t)
	a, err := d.Applied()
	m, errM := d.Memory()
	j, errJ := d.Interrupted()
	if err := errors.Join(err, errM, errJ, d.Check()); err != nil {
		t.Fatal(err)
	}
	if a != nil || m == nil || len(m) > 0 || j != nil {
		t.Errorf("found %v, %v, %v", a, m, j)
	}
	if _, err := os.Stat(d.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading made the folder")
	}
}

func TestRoundTrip(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	want := &Applied{
		Site: "hq", Node: "gw", At: time.Unix(1700000000, 0).UTC(), File: "site.yaml", Topology: "version: 1\n",
		Secrets: map[string]secret.ID{"a.b": "secret:00"},
		State:   &desired.State{Site: "hq", Node: "gw"},
	}
	memory := backend.Memory{"k": json.RawMessage(`1`)}
	if err := errors.Join(d.SaveApplied(want), d.SaveMemory(memory)); err != nil {
		t.Fatal(err)
	}
	got, err := d.Applied()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	gotMemory, err := d.Memory()
	if diff := cmp.Diff(memory, gotMemory); diff != "" || err != nil {
		t.Errorf("memory (-want +got):\n%s %v", diff, err)
	}
	info, err := os.Stat(d.Path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder is %v, %v", info.Mode(), err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
}

func TestInitClosesTheFolder(t *testing.T) {
	d := newDir(t)
	if err := os.Mkdir(d.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder is %v, %v", info.Mode(), err)
	}
}

func TestNewerFormat(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file(formatFile), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := d.Check()
	if !backend.IsRefusal(err) {
		t.Fatalf("error is %v", err)
	}
	want := "state" + d.Path + `: the folder has format "2", and this vpnctl knows 1; use the vpnctl that wrote it, or a newer one`
	if err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestDamaged(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file(appliedFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Applied(); err == nil || !strings.Contains(err.Error(), appliedFile) {
		t.Errorf("error is %v, want one that names the file", err)
	}
}

func step(kind string) Entry {
	return Entry{Kind: kind, From: json.RawMessage("null"), To: json.RawMessage(`{"a":1}`), Objects: []string{"o/" + kind}}
}

func TestJournal(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	j, err := d.Journal(Head{Site: "hq", Node: "gw", Steps: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Begin(step("one")), j.Done(), j.Begin(step("two")), j.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := d.Interrupted()
	if err != nil {
		t.Fatal(err)
	}
	one := step("one")
	one.Done = true
	want := &Record{Head: Head{Site: "hq", Node: "gw", Steps: 3}, Entries: []Entry{one, step("two")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if got, want := got.Begun(), "2 of 3 steps were begun, the last was o/two"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	if err := d.EndJournal(); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Interrupted(); got != nil || err != nil {
		t.Errorf("after its end: %v, %v", got, err)
	}
}

// TestJournalCut cuts the file at every byte: what was begun by then is found, and a
// later apply goes on behind it.
func TestJournalCut(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	j, err := d.Journal(Head{Steps: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Begin(step("one")), j.Begin(step("two")), j.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(d.file(journalFile))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(d.file(journalFile), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		begun := max(strings.Count(string(whole[:cut]), "\n")-1, 0) // the head is no step
		rec, err := d.Interrupted()
		if err != nil || len(rec.Entries) != begun {
			t.Fatalf("cut at %d: %d steps, want %d; %v", cut, len(rec.Entries), begun, err)
		}
		j, err := d.Journal(Head{Steps: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Begin(step("three")), j.Done(), j.Close()); err != nil {
			t.Fatal(err)
		}
		rec, err = d.Interrupted()
		// A line that lacks its end only is complete once the next apply ends it.
		if err != nil || len(rec.Entries) < begun+1 || len(rec.Entries) > begun+2 || rec.Entries[len(rec.Entries)-1].Kind != "three" {
			t.Fatalf("cut at %d, continued: %+v, %v", cut, rec, err)
		}
	}
}
