package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// What history keeps: so many entries or so long, but never fewer than the last ones.
const (
	keepEntries = 100
	keepFor     = 365 * 24 * time.Hour
	keepAlways  = 2
)

const historyDir = "history"

// Past is one apply as history keeps it. It holds no secret, only ids.
type Past struct {
	Number  int           `json:"number"`
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took"`
	Command string        `json:"command"` // apply, rollback
	// Target is the entry that a rollback went back to; 0 for none.
	Target int    `json:"target,omitempty"`
	Result string `json:"result"`
	// Error is why it failed; "" where it did not.
	Error string `json:"error,omitempty"`
	By    Who    `json:"by"`
	// What was to be applied; see Applied, whose State is derived anew where it is wanted
	// again.
	Site    string               `json:"site"`
	Node    string               `json:"node"`
	File    string               `json:"file"`
	Dir     string               `json:"dir"`
	Secrets map[string]secret.ID `json:"secrets,omitempty"`
	// Create, Update, Delete and Lost count what the plan held, and the sessions that it
	// cost.
	Create int `json:"create"`
	Update int `json:"update"`
	Delete int `json:"delete"`
	Lost   int `json:"lost"`
}

// Texts are the long parts of a Past, read only where they are wanted.
type Texts struct {
	Topology string // without the secrets that it carried
	Plan     string // as the operator saw it, without colour
}

// Who ran a command.
type Who struct {
	User string `json:"user"`           // behind sudo
	From string `json:"from,omitempty"` // the address that an SSH connection came from
}

// Kept reports whether the apply took effect: what failed was never there to go back to.
func (p *Past) Kept() bool { return p.Error == "" }

// Of fills in what was to be applied.
func (p *Past) Of(a *Applied) {
	p.Site, p.Node, p.File, p.Dir, p.Secrets = a.Site, a.Node, a.File, a.Dir, a.Secrets
}

// Applied is what was applied then, without its State.
func (p *Past) Applied(t Texts) *Applied {
	return &Applied{Site: p.Site, Node: p.Node, At: p.At, File: p.File, Dir: p.Dir, Topology: t.Topology, Secrets: p.Secrets}
}

// pastHead is the first line of an entry's file. The texts follow it, so that a list of
// entries reads a line of each.
type pastHead struct {
	Past
	Topology int `json:"topology_bytes"`
	Plan     int `json:"plan_bytes"`
}

// History returns all entries, the oldest first.
func (d *Dir) History() ([]Past, error) {
	numbers, err := d.historyNumbers()
	if err != nil {
		return nil, err
	}
	var all []Past
	for _, n := range numbers {
		p, _, err := d.readHistory(n, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned by an apply that goes on now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Past returns one entry with its texts; none of that number is fs.ErrNotExist.
func (d *Dir) Past(number int) (Past, Texts, error) { return d.readHistory(number, true) }

func (d *Dir) readHistory(number int, texts bool) (Past, Texts, error) {
	f, err := os.Open(d.file(historyName(number)))
	if err != nil {
		return Past{}, Texts{}, fmt.Errorf("reading history: %w", err)
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReader(f)
	line, err := r.ReadBytes('\n')
	var h pastHead
	if err == nil {
		err = json.Unmarshal(line, &h)
	}
	if err != nil {
		return Past{}, Texts{}, fmt.Errorf("reading history %d: %w", number, err)
	}
	h.Number = number
	if !texts {
		return h.Past, Texts{}, nil
	}
	rest, err := io.ReadAll(r)
	if err == nil && (h.Topology < 0 || h.Plan < 0 || h.Topology+h.Plan != len(rest)) {
		err = errShort
	}
	if err != nil {
		return Past{}, Texts{}, fmt.Errorf("reading history %d: %w", number, err)
	}
	return h.Past, Texts{Topology: string(rest[:h.Topology]), Plan: string(rest[h.Topology:])}, nil
}

// AddHistory stores an entry under the next number, which it returns, and removes what is
// too old.
func (d *Dir) AddHistory(p Past, t Texts) (int, error) {
	numbers, err := d.historyNumbers()
	if err != nil {
		return 0, err
	}
	p.Number = 1
	if len(numbers) > 0 {
		p.Number = numbers[len(numbers)-1] + 1
	}
	if err := d.putHistory(p, t); err != nil {
		return 0, err
	}
	return p.Number, d.pruneHistory(p.At)
}

func (d *Dir) putHistory(p Past, t Texts) error {
	b, err := json.Marshal(pastHead{Past: p, Topology: len(t.Topology), Plan: len(t.Plan)})
	if err != nil {
		return fmt.Errorf("encoding history: %w", err)
	}
	if err := os.MkdirAll(d.file(historyDir), 0o700); err != nil {
		return fmt.Errorf("making folder for history: %w", err)
	}
	return d.write(historyName(p.Number), append(append(append(b, '\n'), t.Topology...), t.Plan...))
}

// GoneBack notes that what an entry did was undone later, and why.
func (d *Dir) GoneBack(number int, why string) error {
	p, t, err := d.Past(number)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.Result, p.Error = "rolled_back", why
	return d.putHistory(p, t)
}

// RemoveHistory takes an entry back.
func (d *Dir) RemoveHistory(number int) error {
	if err := d.Files.Remove(d.file(historyName(number))); err != nil {
		return fmt.Errorf("removing history: %w", err)
	}
	return nil
}

func historyName(number int) string { return filepath.Join(historyDir, strconv.Itoa(number)) }

// historyNumbers lists the numbers of the entries in their order, without reading them.
func (d *Dir) historyNumbers() ([]int, error) {
	entries, err := os.ReadDir(d.file(historyDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing history: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// pruneHistory removes entries beyond what is kept.
func (d *Dir) pruneHistory(now time.Time) error {
	all, err := d.History()
	if err != nil {
		return err
	}
	for i, p := range all {
		left := len(all) - i
		if left <= keepAlways || left <= keepEntries && now.Sub(p.At) <= keepFor {
			break
		}
		if err := d.RemoveHistory(p.Number); err != nil {
			return err
		}
	}
	return nil
}
