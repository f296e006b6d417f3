package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

func (g *globals) keygenCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "keygen PATH | keygen --topology FILE",
		Short: "Make WireGuard keys",
		Long: `Keygen writes a new private key to PATH (mode 0600, never over an existing file) and
prints its public key.

With --topology it does so for each interface of this node (--node: of another) that
has no public_key yet, in the file that its private_key names; a key that exists is
kept. The public keys go into the topology, whose comments stay.`,
		Example: "  vpnctl keygen /etc/vpnctl/keys/wg0.key\n  vpnctl keygen --topology site.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && file == "":
				return g.keygenPath(args[0])
			case len(args) == 0 && file != "":
				return g.keygenTopology(cmd.Context(), file)
			}
			return usagef("give either PATH or --topology FILE")
		},
	}
	cmd.Flags().StringVar(&file, "topology", "", "make the keys that this topology lacks, and fill their public halves in")
	return cmd
}

func (g *globals) keygenPath(path string) error {
	key, err := newKey(path)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s: the file exists, and a key is never overwritten", path)
	}
	if err != nil {
		return err
	}
	g.print("%s\n", key.PublicKey())
	return nil
}

// newKey makes a key and writes it where no file is.
func newKey(path string) (wgtypes.Key, error) {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return key, fmt.Errorf("making key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return key, fmt.Errorf("making folder for key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return key, fmt.Errorf("writing key: %w", err)
	}
	_, err = f.WriteString(key.String() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return key, errors.Join(fmt.Errorf("writing key %s: %w", path, err), os.Remove(path))
	}
	return key, nil
}

func (g *globals) keygenTopology(ctx context.Context, file string) error {
	if file == stdin {
		return usagef("--topology needs a file: the public keys are written into it")
	}
	src, err := g.readFile(file)
	if err != nil {
		return err
	}
	t, _, err := topology.ParseDraft(file, src)
	if err != nil {
		return err
	}
	name, err := node.Identify(t, g.Hints(g.node))
	if err != nil {
		return &usageError{err}
	}
	keys, err := g.missingKeys(ctx, t, name, filepath.Dir(file))
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		g.print("node %s lacks no keys\n", name)
		return nil
	}
	out, err := topology.SetPublicKeys(src, keys)
	if err != nil {
		return &usageError{err}
	}
	return replaceText(file, out)
}

// missingKeys makes, or reads, the key of every interface of a node that has no public
// key in the topology.
func (g *globals) missingKeys(ctx context.Context, t *topology.Topology, name, dir string) (map[string]map[string]wgtypes.Key, error) {
	keys := map[string]map[string]wgtypes.Key{}
	for i := range t.WireGuard {
		n := &t.WireGuard[i]
		for j := range n.Members {
			m := &n.Members[j]
			if m.Node != name || m.PublicKey != (wgtypes.Key{}) {
				continue
			}
			if m.PrivateKey == nil || m.PrivateKey.Origin != secret.File {
				return nil, usagef("%s: private_key must be {file: PATH} for a key to be made", m.Pos.Prefix())
			}
			key, what, err := keyAt(ctx, m.PrivateKey, dir)
			if err != nil {
				return nil, err
			}
			g.print("%s: %s %s, public key %s\n", n.Name, what, m.PrivateKey.Name, key.PublicKey())
			keys[n.Name] = map[string]wgtypes.Key{name: key.PublicKey()}
		}
	}
	return keys, nil
}

// keyAt makes the key at a path, or reads the one that is there.
func keyAt(ctx context.Context, ref *secret.Ref, dir string) (wgtypes.Key, string, error) {
	path := ref.Name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	key, err := newKey(path)
	if !errors.Is(err, fs.ErrExist) {
		return key, "wrote", err
	}
	v, err := (&secret.Resolver{Dir: dir}).Resolve(ctx, ref)
	if err == nil {
		key, err = topology.WireGuardKey(ref, v)
	}
	if err != nil {
		return key, "", usagef("%s: %w", ref.Pos.Prefix(), err)
	}
	return key, "kept", nil
}

// replaceText writes a file that keeps its mode and owner.
func replaceText(path string, b []byte) error {
	// A link stays one: what it names is replaced.
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("writing topology: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("writing topology: %w", err)
	}
	f := host.File{Data: b, Mode: info.Mode().Perm()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.UID, f.GID = int(st.Uid), int(st.Gid)
	}
	return host.Disk{}.Replace(path, f)
}
