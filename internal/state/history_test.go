package state

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"
)

// numbers lists what history keeps.
func numbers(t *testing.T, d *Dir) []int {
	t.Helper()
	all, err := d.History()
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, p := range all {
		out = append(out, p.Number)
	}
	return out
}

func TestHistory(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, d); got != nil {
		t.Errorf("a new folder has history %v", got)
	}
	now := time.Unix(1700000000, 0).UTC()
	add := func(at time.Time) int {
		t.Helper()
		p := Past{At: at}
		p.Of(&Applied{Site: "hq"})
		n, err := d.AddHistory(p, Texts{Topology: "x\n", Plan: "no changes\n"})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for want := 1; want <= 3; want++ {
		if got := add(now); got != want {
			t.Errorf("number is %d, want %d", got, want)
		}
	}
	p, texts, err := d.Past(2)
	if err != nil || p.Number != 2 || p.Site != "hq" || texts != (Texts{"x\n", "no changes\n"}) {
		t.Errorf("entry is %+v, %q, %v", p, texts, err)
	}
	if _, _, err := d.Past(4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an entry that nobody made: %v", err)
	}
	if err := d.RemoveHistory(3); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, d); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("after a removal: %v", got)
	}
	// A year later the last two stay.
	add(now.Add(366 * 24 * time.Hour))
	if got := numbers(t, d); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("a year later: %v", got)
	}
	later := now.Add(367 * 24 * time.Hour)
	for range 120 {
		add(later)
	}
	if got := numbers(t, d); len(got) != keepEntries || got[len(got)-1] != 123 {
		t.Errorf("%d entries up to %d", len(got), got[len(got)-1])
	}
}
