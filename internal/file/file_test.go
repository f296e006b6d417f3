package file_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

const (
	protos  = "/etc/iproute2/rt_protos.d/vpnctl.conf"
	modules = "/etc/modules-load.d/vpnctl.conf"
)

// world is a host with a memory, on which plans are carried out as the engine does it.
type world struct {
	files   hosttest.Files
	memory  backend.Memory
	secrets backend.Secrets
	adopt   bool
	backend *file.Backend
}

func newWorld() *world {
	w := &world{memory: backend.Memory{}}
	w.backend = file.New(file.Config{Files: &w.files})
	return w
}

// install is what dpkg does with a file of a package.
func (w *world) install(data string) {
	w.files.Put(protos, data, 0o644)
	w.files.Put("/var/lib/dpkg/status", fmt.Sprintf("Package: p\nConffiles:\n %s %x\nDescription: p\n", protos, md5.Sum([]byte(data))), 0o644)
}

// String is all that an apply may change.
func (w *world) String() string {
	memory, err := json.MarshalIndent(w.memory, "", " ")
	if err != nil {
		panic(err)
	}
	return w.files.String() + string(memory) + "\n"
}

func (w *world) input(want []desired.File) backend.Input {
	return backend.Input{
		Want:   &desired.State{Site: "hq", Files: want},
		Memory: w.memory, Options: backend.Options{Adopt: w.adopt},
	}
}

func (w *world) plan(t *testing.T, want []desired.File) *plan.Plan {
	t.Helper()
	steps, err := w.backend.Plan(t.Context(), w.input(want))
	if err != nil {
		t.Fatal(err)
	}
	return plan.New("hq", "gw", steps)
}

// handlers are the backend's, and the engine's for the memory.
func (w *world) handlers() map[string]backend.Handler {
	h := w.backend.Handlers()
	h[file.SecretOp] = file.SecretHandler(&w.files, w.secrets)
	h[backend.MemoryOp] = backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			w.memory[to.Key] = to.Value
		} else if from != nil {
			delete(w.memory, from.Key)
		}
		return nil
	})
	return h
}

// do carries an operation out as another process would: from its JSON.
func (w *world) do(op backend.Op, undo bool) error {
	h := w.handlers()[op.Kind]
	if h == nil {
		return fmt.Errorf("no handler of %s", op.Kind)
	}
	sides := [2]any{op.From, op.To}
	for i, v := range sides {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if sides[i], err = h.Decode(raw); err != nil {
			return err
		}
	}
	if undo {
		return h.Apply(context.Background(), sides[1], sides[0])
	}
	return h.Apply(context.Background(), sides[0], sides[1])
}

// apply does the steps; the first error undoes those that were begun.
func (w *world) apply(t *testing.T, p *plan.Plan) error {
	t.Helper()
	for i := range p.Steps {
		err := w.do(p.Steps[i].Op, false)
		if err == nil {
			continue
		}
		w.files.Fault = nil
		for j := i; j >= 0; j-- {
			if err := w.do(p.Steps[j].Op, true); err != nil {
				t.Fatalf("undoing step %d: %v", j, err)
			}
		}
		return err
	}
	return nil
}

func (w *world) converge(t *testing.T, want []desired.File) {
	t.Helper()
	if err := w.apply(t, w.plan(t, want)); err != nil {
		t.Fatal(err)
	}
	if rest := w.plan(t, want); len(rest.Steps) > 0 {
		t.Fatalf("planning again gives %d steps:\n%s", len(rest.Steps), rest.Text(plan.Palette{}))
	}
}

func ours(path, body string) desired.File {
	return desired.File{Path: path, Data: []byte(file.Header + "\n" + body), Mode: 0o644}
}

func TestPlan(t *testing.T) {
	wanted := ours(protos, "118 vpnctl\n")
	tests := []struct {
		name   string
		before func(w *world)
		want   []desired.File
		plan   string
	}{
		{"nothing", func(*world) {}, nil, plan.NoChanges},
		{"new", func(*world) {}, []desired.File{wanted}, `
+ file/etc/iproute2/rt_protos.d/vpnctl.conf
    content: sha256 799db97a73dc
    mode: 0644
plan: 1 to create, 0 to update, 0 to delete; 0 disruptive
`},
		{"two, in any order", func(*world) {}, []desired.File{ours(modules, ""), wanted}, `
+ file/etc/iproute2/rt_protos.d/vpnctl.conf
    content: sha256 799db97a73dc
    mode: 0644
+ file/etc/modules-load.d/vpnctl.conf
    content: sha256 b386b108798d
    mode: 0644
plan: 2 to create, 0 to update, 0 to delete; 0 disruptive
`},
		{"as it shall be, without memory", func(w *world) {
			w.files.Put(protos, string(wanted.Data), 0o644)
		}, []desired.File{wanted}, plan.NoChanges},
		{"drift of ours", func(w *world) {
			f := host.File{Data: []byte(file.Header + "\nx"), Mode: 0o600, UID: 1, GID: 2}
			if err := w.files.Replace(protos, f); err != nil {
				panic(err)
			}
		}, []desired.File{wanted}, `
~ file/etc/iproute2/rt_protos.d/vpnctl.conf
    content: sha256 ec04faa97acf -> sha256 799db97a73dc
    mode: 0600 -> 0644
    owner: 1:2 -> 0:0
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`},
		{"foreign", func(w *world) { w.files.Put(protos, "200 mine\n", 0o644) }, []desired.File{wanted}, `
~ file/etc/iproute2/rt_protos.d/vpnctl.conf (takes over a file that is not vpnctl's)
    content: sha256 f30f9c929267 -> sha256 799db97a73dc
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`},
		{"as its package brought it", func(w *world) { w.install("200 theirs\n") }, []desired.File{wanted}, `
~ file/etc/iproute2/rt_protos.d/vpnctl.conf
    content: sha256 d5693592bfb2 -> sha256 799db97a73dc
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`},
		{"as its package brought it, and no longer wanted", func(w *world) {
			w.install("200 theirs\n")
			w.converge(t, []desired.File{wanted})
		}, nil, `
- file/etc/iproute2/rt_protos.d/vpnctl.conf (puts back the file from before)
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`},
		{"no longer wanted", func(w *world) { w.converge(t, []desired.File{wanted}) }, nil, `
- file/etc/iproute2/rt_protos.d/vpnctl.conf
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`},
		{"adopted and no longer wanted", func(w *world) {
			w.files.Put(protos, "200 mine\n", 0o600)
			w.converge(t, []desired.File{wanted})
		}, nil, `
- file/etc/iproute2/rt_protos.d/vpnctl.conf (puts back the file from before)
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`},
		{"replaced by a link and no longer wanted", func(w *world) {
			w.converge(t, []desired.File{wanted})
			w.files.PutType(protos, fs.ModeSymlink)
		}, nil, plan.NoChanges},
		{"another backend's", func(w *world) {
			o := file.Owner{Files: &w.files, Kind: backend.L2TP}
			steps, err := o.Plan(w.input(nil), []desired.File{wanted})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.apply(t, plan.New("hq", "gw", steps)); err != nil {
				t.Fatal(err)
			}
		}, nil, plan.NoChanges},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.before(w)
			got := w.plan(t, tt.want).Text(plan.Palette{})
			if diff := cmp.Diff(strings.TrimPrefix(tt.plan, "\n"), got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			w.converge(t, tt.want)
		})
	}
}

func TestCheck(t *testing.T) {
	wanted := []desired.File{ours(protos, "118 vpnctl\n")}
	put := func(data string) func(w *world) {
		return func(w *world) { w.files.Put(protos, data, 0o644) }
	}
	tests := []struct {
		name   string
		before func(w *world)
		adopt  bool
		want   string // the refusal, "" for none
	}{
		{"free", func(*world) {}, false, ""},
		{"ours by its header", put(file.Header + " long ago\n"), false, ""},
		{"ours by its header behind a semicolon", put(file.SemicolonHeader + " long ago\n"), false, ""},
		{"as its package brought it", func(w *world) { w.install("200 theirs\n") }, false, ""},
		{"edited since its package brought it", func(w *world) {
			w.install("200 theirs\n")
			w.files.Put(protos, "200 mine\n", 0o644)
		}, false, "file" + protos +
			": a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
		{"ours by the memory", func(w *world) {
			w.converge(t, wanted)
			w.files.Put(protos, "somebody edited the header away\n", 0o644)
		}, false, ""},
		{"foreign", put("200 mine\n"), false, "file" + protos +
			": a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
		{"foreign and empty", put(""), false, "file" + protos +
			": a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
		{"adopted", put("200 mine\n"), true, ""},
		{"a link", func(w *world) { w.files.PutType(protos, fs.ModeSymlink) }, true,
			"file" + protos + ": a symbolic link stands there; move it away"},
		{"ours replaced by a link", func(w *world) {
			w.converge(t, wanted)
			w.files.PutType(protos, fs.ModeSymlink)
		}, false, "file" + protos + ": a symbolic link stands there; move it away"},
		{"a folder", func(w *world) { w.files.PutType(protos, fs.ModeDir) }, false,
			"file" + protos + ": a folder stands there; move it away"},
		{"a file in place of the folder", func(w *world) { w.files.Put("/etc/iproute2", "", 0o644) }, true,
			"file" + protos + ": /etc/iproute2 is no folder; move it away"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.before(w)
			w.adopt = tt.adopt
			err := w.backend.Check(t.Context(), w.input(wanted))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("refusal %q, want %q", got, tt.want)
			}
			if err != nil && !backend.IsRefusal(err) {
				t.Errorf("%v is no refusal", err)
			}
		})
	}
}

// A link or a folder is never written over, whatever Plan is asked before Check.
func TestPlanLeavesLinks(t *testing.T) {
	w := newWorld()
	w.adopt = true
	w.files.PutType(protos, fs.ModeSymlink)
	if p := w.plan(t, []desired.File{ours(protos, "")}); len(p.Steps) > 0 {
		t.Errorf("plans %d steps over a link", len(p.Steps))
	}
}

// Folders that were made for files go with the last of them, and only then.
func TestFolders(t *testing.T) {
	w := newWorld()
	before := w.String()
	a, b := ours("/etc/vpnctl/x/a", ""), ours("/etc/vpnctl/x/b", "")
	w.converge(t, []desired.File{a})
	w.converge(t, []desired.File{a, b})
	w.converge(t, []desired.File{b})
	w.converge(t, nil)
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Errorf("after the last file (-want +got):\n%s", diff)
	}

	w.converge(t, []desired.File{a})
	w.files.Put("/etc/vpnctl/x/theirs", "", 0o644)
	w.converge(t, nil)
	if diff := cmp.Diff("-rw-r--r-- 0:0 /etc/vpnctl/x/theirs\n{}\n", w.String()); diff != "" {
		t.Errorf("beside a foreign file (-want +got):\n%s", diff)
	}
}

// wants are states for the walks; each has another mixture of files.
var wants = [][]desired.File{
	nil,
	{ours(protos, "118 vpnctl\n")},
	{ours(protos, "119 vpnctl\n"), ours(modules, "wireguard\n")},
	{ours(modules, ""), {Path: "/etc/vpnctl/binary", Data: []byte{0, 1, 255}, Mode: 0o600}},
}

// TestRandomWalk visits the states in any order: what the host holds then depends on the
// state alone.
func TestRandomWalk(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	fresh := func() *world {
		w := newWorld()
		w.adopt = true
		f := host.File{Data: []byte("theirs\n"), Mode: 0o640, UID: 5, GID: 6}
		if err := w.files.Replace(modules, f); err != nil {
			t.Fatal(err)
		}
		return w
	}
	texts := make([]string, len(wants))
	for i, want := range wants {
		w := fresh()
		w.converge(t, want)
		texts[i] = w.files.String()
	}
	w := fresh()
	for range 200 {
		i := r.IntN(len(wants))
		w.converge(t, wants[i])
		if diff := cmp.Diff(texts[i], w.files.String()); diff != "" {
			t.Fatalf("state %d (-want +got):\n%s", i, diff)
		}
	}
}

var errFault = errors.New("no space left on device")

// TestFaults fails every write of every change: the host is as before, or, where the
// program died there, the next apply converges.
func TestFaults(t *testing.T) {
	for from := range wants {
		for to := range wants {
			for k := 0; ; k++ {
				w := newWorld()
				w.adopt = true
				w.files.Put(modules, "theirs\n", 0o600)
				w.converge(t, wants[from])
				before := w.String()
				if !w.faultAt(t, k, wants[to]) {
					break
				}
				if diff := cmp.Diff(before, w.String()); diff != "" {
					t.Fatalf("%d to %d, write %d, after undo (-want +got):\n%s", from, to, k, diff)
				}
				w.killAt(t, k, wants[to])
				w.converge(t, wants[to])
				w.converge(t, nil)
				if diff := cmp.Diff("-rw------- 0:0 "+modules+"\n\ttheirs\n{}\n", w.String()); diff != "" {
					t.Fatalf("%d to %d, killed at write %d, destroyed (-want +got):\n%s", from, to, k, diff)
				}
			}
		}
	}
}

// failing makes the k-th write of an apply fail.
func (w *world) failing(k int) {
	n := 0
	w.files.Fault = func(string) error {
		if n++; n == k+1 {
			return errFault
		}
		return nil
	}
}

// faultAt applies with a fault, and reports whether there was a k-th write.
func (w *world) faultAt(t *testing.T, k int, want []desired.File) bool {
	t.Helper()
	w.failing(k)
	err := w.apply(t, w.plan(t, want))
	w.files.Fault = nil
	if err != nil && !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	return err != nil
}

// killAt applies up to the k-th write and does no more.
func (w *world) killAt(t *testing.T, k int, want []desired.File) {
	t.Helper()
	w.failing(k)
	for _, s := range w.plan(t, want).Steps {
		if err := w.do(s.Op, false); err != nil {
			break
		}
	}
	w.files.Fault = nil
}

// An operation is done twice, and undone although it was never done.
func TestHandlerIsIdempotent(t *testing.T) {
	w := newWorld()
	before := w.String()
	p := w.plan(t, wants[2])
	for i := range p.Steps {
		if err := w.do(p.Steps[i].Op, true); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Errorf("undone without being done (-want +got):\n%s", diff)
	}
	for i := range p.Steps {
		for range 2 {
			if err := w.do(p.Steps[i].Op, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rest := w.plan(t, wants[2]); len(rest.Steps) > 0 {
		t.Errorf("done twice, and %d steps are left", len(rest.Steps))
	}
}
