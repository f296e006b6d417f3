package ppp

import (
	"context"
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

// The files of pppd's secrets. They are everybody's: only a block is ours.
const (
	chapSecrets = folder + "/chap-secrets"
	papSecrets  = folder + "/pap-secrets"
)

// The lines around our block. It stands at the top: whatever the owner's last line ends
// with, nothing of his has to change for it.
const (
	blockBegin = "# BEGIN vpnctl\n"
	blockNote  = "# What is changed between here and END is overwritten.\n"
	blockEnd   = "# END vpnctl\n"
)

// entry is one line of pppd's secrets: who may log in to which server.
type entry struct {
	user, server string
	password     secret.Value
	address      string // "*" for any
}

// object is what the plan calls the entry. A link's user is a property of the link.
func (e *entry) object(links map[string]bool) string {
	t, ok := strings.CutPrefix(e.server, peerPrefix)
	protocol, name, valid := parseObject(strings.Replace(t, "-", "/", 1))
	switch object := string(protocol) + "/" + name; {
	case !ok || !valid:
		return ""
	case links[object]:
		return object
	default:
		return object + "/user/" + e.user
	}
}

// render writes entries as a block; none is no block at all.
func renderBlock(entries []entry) string {
	if len(entries) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(blockBegin + blockNote)
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s %s %s\n", quote(e.user), e.server, quote(string(e.password.Reveal())), e.address)
	}
	b.WriteString(blockEnd)
	return b.String()
}

// parseBlock reads the entries of a block. What is no entry is left out: somebody wrote it
// there by hand, and it goes.
func parseBlock(block string) []entry {
	var out []entry
	for line := range strings.Lines(block) {
		w, err := words(strings.TrimSuffix(line, "\n"))
		if err == nil && len(w) == 4 {
			out = append(out, entry{w[0], w[1], secret.New([]byte(w[2])), w[3]})
		}
	}
	return out
}

// errBlock is the error of a file whose block has no end, or that has several.
var errBlock = errors.New("its lines between # BEGIN vpnctl and # END vpnctl are damaged")

// split takes our block out of a file of secrets.
func split(data []byte) (before, block, after string, err error) {
	text := string(data)
	at := lineIndex(text, blockBegin)
	if at < 0 {
		if lineIndex(text, blockEnd) >= 0 {
			err = errBlock
		}
		return text, "", "", err
	}
	n := lineIndex(text[at:], blockEnd)
	if n < 0 {
		return text, "", "", errBlock
	}
	end := at + n + len(blockEnd)
	before, block, after = text[:at], text[at:end], text[end:]
	if lineIndex(after, blockBegin) >= 0 || lineIndex(after, blockEnd) >= 0 ||
		lineIndex(block[len(blockBegin):], blockBegin) >= 0 {
		err = errBlock
	}
	return before, block, after, err
}

// lineIndex finds a whole line, which ends with its line break; -1 for none.
func lineIndex(text, line string) int {
	if strings.HasPrefix(text, line) {
		return 0
	}
	if at := strings.Index(text, "\n"+line); at >= 0 {
		return at + 1
	}
	return -1
}

// secretsFile is our block of one file, as an operation leads from or to it.
type secretsFile struct {
	Path string `json:"path"`
	// Block is the whole of it, which is a secret; "" is no block.
	Block secret.ID `json:"block,omitempty"`
	// At is how much of the file stands above it, where somebody put it.
	At int `json:"at,omitempty"`
	// Made says that there was no file before: it goes with the last line in it.
	Made bool `json:"made,omitempty"`
}

// applySecrets puts a block in place of the one that is there. What is not ours stays as it
// is now, be it other than when this was planned.
func (b *Backend) applySecrets(_ context.Context, from, to *secretsFile) error {
	if to == nil {
		to = &secretsFile{Path: from.Path, At: from.At, Made: from.Made}
	}
	// The attempt before this one may have been killed.
	if err := b.Files.Sweep(to.Path); err != nil {
		return err
	}
	f, err := b.Files.Read(to.Path)
	if errors.Is(err, fs.ErrNotExist) {
		f = host.File{Mode: 0o600}
	} else if err != nil {
		return fmt.Errorf("reading %s: %w", to.Path, err)
	}
	there := err == nil
	before, have, after, err := split(f.Data)
	if err != nil {
		return fmt.Errorf("reading %s: %w", to.Path, err)
	}
	var block string
	if to.Block != "" {
		v, err := b.Secrets.Value(to.Block)
		if err != nil {
			return fmt.Errorf("reading lines of %s: %w", to.Path, err)
		}
		block = string(v.Reveal())
	}
	switch {
	case block == "" && before+after == "" && to.Made:
		return b.Files.Remove(to.Path)
	case block == have && (there || block == ""):
		return nil
	}
	if have == "" {
		before, after = cut(before, to.At)
	}
	f.Data = []byte(before + block + after)
	return b.Files.Replace(to.Path, f)
}

// cut divides a text where a line begins; at its top where none does there.
func cut(text string, at int) (before, after string) {
	if at > 0 && at <= len(text) && text[at-1] == '\n' {
		return text[:at], text[at:]
	}
	return "", text
}

// secretsState is what one file of secrets holds, and shall hold.
type secretsState struct {
	path       string
	there      bool
	at         int
	block      string
	have, want []entry
}

// observeSecrets reads our block of a file.
func (b *Backend) observeSecrets(path string) (*secretsState, error) {
	s := &secretsState{path: path}
	f, err := b.Files.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	s.there = true
	before, block, _, err := split(f.Data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if s.block = block; block != "" {
		s.at = len(before)
	}
	s.have = parseBlock(s.block)
	return s, nil
}

// wantedEntries are those of one file: PAP has its own.
func wantedEntries(p *desired.PPP, value func(secret.ID) (secret.Value, error), pap bool) ([]entry, error) {
	var out []entry
	add := func(t *desired.PPPTunnel, user string, password secret.ID, address string) error {
		if !slices.ContainsFunc(t.Auth, func(a string) bool { return (a == "pap") == pap }) {
			return nil
		}
		v, err := value(password)
		if err != nil {
			return fmt.Errorf("reading password of %s: %w", user, err)
		}
		out = append(out, entry{user, t.AuthName(), v, address})
		return nil
	}
	for i := range p.Servers {
		s := &p.Servers[i]
		for _, u := range s.Users {
			address := "*"
			if u.Address.IsValid() {
				address = u.Address.String()
			}
			if err := add(&s.PPPTunnel, u.Name, u.Password, address); err != nil {
				return nil, err
			}
		}
	}
	for i := range p.Links {
		l := &p.Links[i]
		if err := add(&l.PPPTunnel, l.User, l.Password, "*"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// madeKey is the memory of a file of secrets that was not there before.
func madeKey(path string) string { return "ppp/made" + path }

// steps are the ones that lead a file to its wanted block, without what they show, which
// both files have in common.
func (s *secretsState) steps(in backend.Input) []backend.Step {
	want := renderBlock(s.want)
	made := in.Memory[madeKey(s.path)] != nil
	var steps []backend.Step
	if !s.there && want != "" && !made {
		steps = append(steps, backend.Remember(backend.PhaseMemory, madeKey(s.path), nil, true))
		made = true
	}
	if want != s.block {
		phase := backend.PhaseFile
		if want == "" {
			phase = backend.PhaseRemoveFile
		}
		side := func(block string) *secretsFile {
			f := &secretsFile{Path: s.path, At: s.at, Made: made}
			if block != "" {
				f.Block = in.Secrets.ID(secret.New([]byte(block)))
			}
			return f
		}
		steps = append(steps, backend.Step{Phase: phase, Op: backend.Op{Kind: opSecrets, From: side(s.block), To: side(want)}})
	}
	if want == "" && made {
		steps = append(steps, backend.Remember(backend.PhaseForget, madeKey(s.path), true, nil))
	}
	return steps
}

// checkSecrets refuses a file of secrets in which a block cannot be ours alone.
func (b *Backend) checkSecrets(path string) error {
	object := string(backend.File) + path
	typ, err := b.Files.Type(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at %s: %w", path, err)
	case typ != 0:
		return backend.Refuse(object, "put a plain file there", "is no plain file, and a change would replace it")
	}
	f, err := b.Files.Read(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if f.Mode&0o044 != 0 {
		return backend.Refuse(object, "chmod 600 "+path, "mode %04o lets others read the passwords", f.Mode.Perm())
	}
	if _, _, _, err := split(f.Data); err != nil {
		return backend.Refuse(object, "remove these lines", "%v", err)
	}
	return nil
}
