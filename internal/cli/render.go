package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/pptp"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/sysctl"
	"github.com/vpnctl/vpnctl/internal/vault"
	"github.com/vpnctl/vpnctl/internal/wireguard"
)

// rendered is one file as it would be written.
type rendered struct {
	name string // below --out
	text string
}

func (g *globals) renderCommand() *cobra.Command {
	var out string
	var show bool
	cmd := &cobra.Command{
		Use:   "render FILE --node NODE",
		Short: "Print the files of one node as they would be written",
		Long: `Render prints what a node would get as files: WireGuard as IF.conf in the form of
wg-quick(8), the others with their paths. Secrets are masked unless --show-secrets is
given, which reads them and so works only where they are.`,
		Example: "  vpnctl render site.yaml --node gw1\n  vpnctl render site.yaml --node gw1 --out /tmp/gw1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := g.render(cmd.Context(), args[0], show)
			if err != nil {
				return err
			}
			if out != "" {
				return g.writeRendered(out, files)
			}
			return g.printRendered(files)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the files below this folder, mode 0600, instead of printing them")
	cmd.Flags().BoolVar(&show, "show-secrets", false, "do not mask the secrets")
	return cmd
}

func (g *globals) render(ctx context.Context, file string, show bool) ([]rendered, error) {
	d, err := g.readTopology(file)
	if err != nil {
		return nil, err
	}
	t := d.Topology
	if g.node == "" {
		return nil, usagef("say which node with --node")
	}
	if _, err := node.Identify(t, node.Hints{Flag: g.node}); err != nil {
		return nil, &usageError{err}
	}
	source := desired.Masked
	reveal := func(secret.ID) (string, bool) { return "", false }
	if show {
		dir, _, err := whereIs(file)
		if err != nil {
			return nil, err
		}
		v := vault.Ephemeral()
		source = g.newSecrets(ctx, v, dir, nil)
		reveal = func(id secret.ID) (string, bool) {
			value, err := v.Value(id)
			return string(value.Reveal()), err == nil
		}
	}
	s, err := desired.Derive(t, g.node, source)
	if err != nil {
		return nil, &usageError{err}
	}
	return filesOf(s, reveal)
}

// filesOf renders everything of a state that has the form of a file.
func filesOf(s *desired.State, reveal func(secret.ID) (string, bool)) ([]rendered, error) {
	var files []rendered
	for i := range s.Interfaces {
		w := &s.Interfaces[i]
		files = append(files, rendered{w.Name + ".conf", wireguard.Render(w, reveal)})
	}
	etc, err := ipsec.Render(&s.IPsec, reveal)
	if err != nil {
		return nil, err
	}
	session, err := ppp.Render(s, reveal)
	if err != nil {
		return nil, err
	}
	etc = slices.Concat(etc, session, l2tp.Render(&s.PPP), s.Files)
	if server := s.PPP.Server(desired.PPTP); server != nil {
		etc = append(etc, desired.File{Path: pptp.ConfPath, Data: pptp.Render(server)})
	}
	if len(s.Sysctl) > 0 {
		etc = append(etc, sysctl.File(s.Sysctl))
	}
	for _, f := range etc {
		files = append(files, rendered{strings.TrimPrefix(f.Path, "/"), string(f.Data)})
	}
	for family, name := range map[nat.Family]string{nat.IPv4: "iptables.rules", nat.IPv6: "ip6tables.rules"} {
		if text := nat.RenderFile(&s.Netfilter, s.Node, family); text != "" {
			files = append(files, rendered{name, text})
		}
	}
	slices.SortFunc(files, func(a, b rendered) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

func (g *globals) printRendered(files []rendered) error {
	if g.output != formatText {
		doc := []map[string]string{}
		for _, f := range files {
			doc = append(doc, map[string]string{"path": f.name, "text": f.text})
		}
		return g.printDocument(doc)
	}
	for i, f := range files {
		if i > 0 {
			g.print("\n")
		}
		g.print("# ---- %s\n%s", f.name, f.text)
	}
	return nil
}

// writeRendered writes the files, never over ones that are there: a rendered folder is
// looked at and compared, not applied.
func (g *globals) writeRendered(dir string, files []rendered) error {
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("making folder: %w", err)
		}
		out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return usagef("%s: the file exists; name an empty folder", path)
		}
		if err != nil {
			return fmt.Errorf("writing rendered file: %w", err)
		}
		_, err = out.WriteString(f.text)
		if err := errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("writing rendered file: %w", err)
		}
		g.print("%s\n", path)
	}
	return nil
}
