package pptp

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// ErrFull is the error of a server all of whose addresses are held.
var ErrFull = errors.New("no address of the pools is free")

// Serve makes this process pptpd's parent, with the part of the pool that nobody holds. It
// returns only where that fails. Args are further ones of pptpd.
func Serve(ctx context.Context, args []string) error {
	conf, err := os.ReadFile(ConfPath)
	if err != nil {
		return fmt.Errorf("reading pptpd's configuration: %w", err)
	}
	sessions, err := ppp.Live().List(ctx)
	if err != nil {
		return err
	}
	all, err := processes{}.List()
	if err != nil {
		return err
	}
	text, free, err := Load(conf, held(all, sessions))
	if err != nil {
		return err
	}
	if free == 0 {
		return ErrFull
	}
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return fmt.Errorf("making run folder: %w", err)
	}
	if err := (host.Disk{}).Replace(LoadedPath, host.File{Data: text, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}); err != nil {
		return err
	}
	path, err := host.LookPath(pptpd)
	if err != nil {
		return err
	}
	// The last word counts: whatever else the host's defaults name.
	argv := append([]string{pptpd}, args...)
	argv = append(argv, "-f", "-c", LoadedPath)
	return os.NewSyscallError("execve", unix.Exec(path, argv, os.Environ()))
}
