package file_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// secrets keeps what it gave an id.
type secrets map[secret.ID]secret.Value

func (s secrets) ID(v secret.Value) secret.ID {
	h := fnv.New128a()
	_, _ = h.Write(v.Reveal())
	id := secret.ID("secret:" + hex.EncodeToString(h.Sum(nil)))
	s[id] = v
	return id
}

func (s secrets) Value(id secret.ID) (secret.Value, error) {
	v, ok := s[id]
	if !ok {
		return v, fs.ErrNotExist
	}
	return v, nil
}

// secretPlan plans one secret file of another backend.
func (w *world) secretPlan(t *testing.T, s secrets, content ...string) *plan.Plan {
	t.Helper()
	var want []desired.File
	for _, c := range content {
		want = append(want, desired.File{Path: "/etc/swanctl/conf.d/vpnctl.conf", Data: []byte(c), Mode: 0o600})
	}
	in := w.input(nil)
	in.Options.Adopt = true
	steps, err := file.Owner{Files: &w.files, Kind: backend.IPsec, Secrets: s}.Plan(in, want)
	if err != nil {
		t.Fatal(err)
	}
	return plan.New("hq", "gw", steps)
}

// The content of a secret file is in no plan, journal or memory, and it comes back all the
// same.
func TestSecretFile(t *testing.T) {
	w, s := newWorld(), secrets{}
	w.secrets = s
	w.files.Put("/etc/swanctl/conf.d/vpnctl.conf", "psk = theirs", 0o640)
	before := w.files.String()
	texts := []string{
		"~ file/etc/swanctl/conf.d/vpnctl.conf (takes over a file that is not vpnctl's)\n" +
			"    content: (secret) -> (secret)\n    mode: 0640 -> 0600\n",
		"~ file/etc/swanctl/conf.d/vpnctl.conf\n    content: (secret) -> (secret)\n",
		"- file/etc/swanctl/conf.d/vpnctl.conf (puts back the file from before)\n",
	}
	for i, content := range [][]string{{"psk = ours1"}, {"psk = ours2"}, nil} {
		p := w.secretPlan(t, s, content...)
		raw, err := json.Marshal(p.Steps)
		if err != nil {
			t.Fatal(err)
		}
		said := p.Text(plan.Palette{}) + string(raw) + fmt.Sprint(w.memory)
		if strings.Contains(said, "psk") || strings.Contains(said, "cHNr") {
			t.Errorf("the content shows:\n%s", said)
		}
		if !strings.HasPrefix(p.Text(plan.Palette{}), texts[i]) {
			t.Errorf("plan is\n%s", p.Text(plan.Palette{}))
		}
		if err := w.apply(t, p); err != nil {
			t.Fatal(err)
		}
		if rest := w.secretPlan(t, s, content...); len(rest.Steps) > 0 {
			t.Fatalf("%d steps are left", len(rest.Steps))
		}
	}
	if diff := cmp.Diff(before, w.files.String()); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}
