package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// Version is set when a release is built: go build -ldflags "-X …/internal/cli.Version=1.2.3".
var Version = "devel"

func version() string {
	return fmt.Sprintf("vpnctl %s (%s, %s/%s)", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (g *globals) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if g.output == formatText {
				g.print("%s\n", version())
				return nil
			}
			return g.printDocument(map[string]string{"version": Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
		},
	}
}
