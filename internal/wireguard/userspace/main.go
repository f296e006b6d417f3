package userspace

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/vpnctl/vpnctl/internal/eventlog"
)

// Command is the hidden subcommand that runs Main; its only argument is the interface.
const Command = "wireguard-userspace"

// Main makes the interface and carries it until the link is deleted, SIGTERM comes or
// the socket is taken away. What ends it otherwise is also left for the Launcher.
func Main(ctx context.Context, name string) error {
	err := serve(ctx, name)
	if err != nil {
		err = fmt.Errorf("carrying interface %s: %w", name, err)
		leaveReason(name, err)
	}
	return err
}

func serve(ctx context.Context, name string) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, os.Interrupt)
	defer stop()
	dev, err := open(name)
	if err != nil {
		return err
	}
	defer dev.Close()
	socket, err := listen(name)
	if err != nil {
		return err
	}
	// The socket goes first: nobody shall find a device that is about to close.
	defer func() { _ = socket.Close() }()
	broken := make(chan error, 1)
	go func() { broken <- accept(socket, dev) }()
	if err := writePID(name); err != nil {
		return err
	}
	defer removePID(name)
	if _, err := daemon.SdNotify(true, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-dev.Wait():
		return nil
	case err := <-broken:
		if _, gone := os.Lstat(socketPath(name)); gone != nil {
			err = gone // the listener notices, and calls it an invalid argument
		}
		return fmt.Errorf("serving socket: %w", err)
	}
}

// open makes the link and the device behind it.
func open(name string) (*device.Device, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	// The kernel would hand over a persistent tun device of somebody else.
	if _, err := net.InterfaceByName(name); err == nil {
		return nil, fmt.Errorf("creating link: %w", fs.ErrExist)
	}
	t, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		return nil, fmt.Errorf("creating link: %w", err)
	}
	return device.NewDevice(follow(t), conn.NewDefaultBind(), logger(name)), nil
}

// checkName refuses what the kernel does, and what it would take for a pattern. Names
// become parts of paths.
func checkName(name string) error {
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." ||
		strings.ContainsAny(name, "/:% \t\n\v\f\r") {
		return fmt.Errorf("interface name %q: %w", name, fs.ErrInvalid)
	}
	return nil
}

// listen opens the socket; a dead one in its place is replaced.
func listen(name string) (net.Listener, error) {
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", socketPath(name), err)
	}
	defer func() { _ = file.Close() }()
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", socketPath(name), err)
	}
	return l, nil
}

// accept serves the socket until it breaks.
func accept(l net.Listener, dev *device.Device) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go dev.IpcHandle(c)
	}
}

// logger writes errors to the log of the system.
func logger(name string) *device.Logger {
	log := eventlog.Open()
	return &device.Logger{Verbosef: device.DiscardLogf, Errorf: func(format string, args ...any) {
		log.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}}
}
