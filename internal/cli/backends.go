package cli

import (
	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/boot"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/pptp"
	"github.com/vpnctl/vpnctl/internal/sysctl"
	"github.com/vpnctl/vpnctl/internal/vault"
	"github.com/vpnctl/vpnctl/internal/watch"
	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/userspace"
)

// hostBackends are the backends of the real host, in the order in which they plan within
// a phase.
func hostBackends(v *vault.Vault) []backend.Backend {
	tunnels := ipsec.New(ipsec.Config{Secrets: v})
	links := pptp.New(pptp.Config{})
	return []backend.Backend{
		boot.New(boot.Config{StateDir: v.Dir()}),
		file.New(file.Config{}),
		sysctl.New(sysctl.Config{}),
		wireguard.New(wireguard.Config{Secrets: v, Userspace: userspace.Launcher{}, Resolver: dns{}}),
		tunnels,
		ppp.New(ppp.Config{Secrets: v, Reasons: links.Reason}),
		l2tp.New(l2tp.Config{}),
		links,
		nat.New(nat.Config{Link: tunnels.Link}),
		watch.New(watch.Config{StateDir: v.Dir()}),
	}
}

// userspaceCommand is what the process of a userspace interface runs. Nobody calls it by
// hand.
func userspaceCommand() *cobra.Command {
	return &cobra.Command{
		Use:    userspace.Command + " INTERFACE",
		Short:  "Carry a WireGuard interface in this process",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return userspace.Main(cmd.Context(), args[0])
		},
	}
}

// pptpCommands are what pptpd's parent and the process of a link begin as. Nobody calls
// them by hand.
func pptpCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use: pptp.ServerCommand + " [OPTION]...", Short: "Become pptpd, with the addresses that are free", Hidden: true,
			// They are pptpd's.
			DisableFlagParsing: true,
			RunE:               func(cmd *cobra.Command, args []string) error { return pptp.Serve(cmd.Context(), args) },
		},
		{
			Use: pptp.LinkCommand + " NAME", Short: "Keep a PPTP link up", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return pptp.Dial(cmd.Context(), args[0]) },
		},
	}
}
