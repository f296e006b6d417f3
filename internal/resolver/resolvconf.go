package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
)

// resolvconf is the program of that name, openresolv's or Debian's own.
type resolvconf struct {
	run   host.Runner
	files host.Files
}

// interfaceOrder is where Debian's resolvconf ranks interfaces by name.
const interfaceOrder = "/etc/resolvconf/interface-order"

// ranked is a line of interfaceOrder that ranks all names with a prefix.
var ranked = regexp.MustCompile(`^([A-Za-z0-9-]+)\*$`)

func (r *resolvconf) close() error { return nil }

// probe reports a host without the program as errors.ErrUnsupported, and so one with
// nothing but systemd-resolved's stand-in for it, which needs the daemon.
func (r *resolvconf) probe(ctx context.Context) error {
	_, err := r.run.Run(ctx, host.Cmd{Args: []string{"resolvconf", "-l"}})
	var exit *host.ExitError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("neither systemd-resolved nor resolvconf: %w", errors.ErrUnsupported)
	case errors.As(err, &exit) && strings.Contains(exit.Stderr, "not supported"):
		return fmt.Errorf("systemd-resolved does not run: %w", errors.ErrUnsupported)
	case errors.As(err, &exit):
		return nil // openresolv, when there is nothing to list
	}
	return err
}

// key is the name that the record of an interface has: with the prefix that puts it
// first, by the rule of wg-quick(8), so that both find each other's records.
func (r *resolvconf) key(iface string) (string, error) {
	f, err := r.files.Read(interfaceOrder)
	if errors.Is(err, fs.ErrNotExist) {
		return iface, nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(f.Data)) {
		if m := ranked.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			return m[1] + "." + iface, nil
		}
	}
	return iface, nil
}

func (r *resolvconf) get(ctx context.Context, iface string, _ int) (Config, error) {
	key, err := r.key(iface)
	if err != nil {
		return Config{}, err
	}
	out, err := r.run.Run(ctx, host.Cmd{Args: []string{"resolvconf", "-l", key}})
	var exit *host.ExitError
	if errors.As(err, &exit) && strings.HasPrefix(exit.Stderr, "No resolv.conf for interface") {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, err
	}
	return parse(record(string(out), key))
}

func (r *resolvconf) set(ctx context.Context, iface string, _ int, c Config) error {
	key, err := r.key(iface)
	if err != nil {
		return err
	}
	args := []string{"resolvconf", "-a", key, "-m", "0"}
	if len(c.Servers) > 0 {
		args = append(args, "-x") // exclusive: with no servers, there would be none at all
	}
	_, err = r.run.Run(ctx, host.Cmd{Args: args, Stdin: render(c)})
	return err
}

func (r *resolvconf) remove(ctx context.Context, iface string, _ int) error {
	key, err := r.key(iface)
	if err != nil {
		return err
	}
	_, err = r.run.Run(ctx, host.Cmd{Args: []string{"resolvconf", "-d", key, "-f"}})
	return err
}

// recordHeader stands before each record of `resolvconf -l`.
const recordHeader = "# resolv.conf from "

// record takes one record out of a list: Debian's program lists all, whatever it is
// asked for, and openresolv takes the name for a pattern.
func record(list, key string) string {
	var b strings.Builder
	wanted := false
	for line := range strings.Lines(list) {
		if name, ok := strings.CutPrefix(line, recordHeader); ok {
			wanted = strings.TrimSuffix(name, "\n") == key
		} else if wanted {
			b.WriteString(line)
		}
	}
	return b.String()
}

// render writes the lines of resolv.conf(5).
func render(c Config) []byte {
	var b strings.Builder
	for _, s := range c.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(c.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.Search, " "))
	}
	return []byte(b.String())
}

// parse reads lines of resolv.conf(5); those that are no DNS of ours are left out.
func parse(text string) (Config, error) {
	var c Config
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			addr, err := netip.ParseAddr(words[1])
			if err != nil {
				return Config{}, fmt.Errorf("parsing name server: %w", err)
			}
			c.Servers = append(c.Servers, addr)
		case "search", "domain":
			c.Search = append(c.Search, words[1:]...)
		}
	}
	return c, nil
}
