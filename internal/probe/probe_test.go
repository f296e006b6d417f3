package probe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/probe"
)

func TestParse(t *testing.T) {
	const forms = "give ping:ADDR, tcp:ADDR:PORT, handshake:NAME or ssh"
	for text, want := range map[string]string{
		"ping:10.0.0.2": "", "ping:fd00::2": "", "tcp:10.0.0.2:22": "", "tcp:[fd00::2]:22": "", "handshake:linux2": "", "ssh": "",
		"ping:gw":      `"ping:gw": "gw" is no address`,
		"tcp:10.0.0.2": `"tcp:10.0.0.2": "10.0.0.2" is no ADDR:PORT`, "tcp:10.0.0.2:0": `"tcp:10.0.0.2:0": "10.0.0.2:0" is no ADDR:PORT`,
		"handshake:": `"handshake:": ` + forms, "": `"": ` + forms, "ssh:22": `"ssh:22": ` + forms, "http:x": `"http:x": ` + forms,
	} {
		p, err := probe.Parse(text)
		switch {
		case want == "" && (err != nil || p.Text != text):
			t.Errorf("%q: %v, %v", text, p, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// listen accepts connections until the test ends, and sends those that it has.
func listen(t *testing.T) (netip.AddrPort, <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conns := make(chan net.Conn, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()), conns
}

func TestHolds(t *testing.T) {
	open, _ := listen(t)
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := shut.Addr().String()
	_ = shut.Close()
	down := errors.New("is down")
	h := probe.Host{Up: func(_ context.Context, name string) error {
		if name == "linux2" {
			return nil
		}
		return down
	}}
	for text, want := range map[string]string{
		"ping:127.0.0.1": "", "ping:::1": "", "tcp:" + open.String(): "", "handshake:linux2": "",
		"tcp:" + closed: "connection refused", "handshake:other": "handshake:other: is down", "ssh": "ssh: no SSH connection was found",
		"ping:203.0.113.77": "ping:203.0.113.77: ",
	} {
		p, err := probe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Holds(context.Background(), h)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestPasses looks at a connection while it passes data, and when it is gone.
func TestPasses(t *testing.T) {
	server, accepted := listen(t)
	client, err := net.Dial("tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	conn := <-accepted
	local, remote := netip.MustParseAddrPort(conn.LocalAddr().String()), netip.MustParseAddrPort(conn.RemoteAddr().String())
	go func() { _, _ = io.Copy(io.Discard, client) }()
	said := 0
	passes := probe.Passes(local, remote, func() { said++; _, _ = conn.Write([]byte("still here?\n")) })
	for range 2 {
		if err := passes(context.Background()); err != nil {
			t.Errorf("while it is open: %v", err)
		}
	}
	if said != 2 {
		t.Errorf("%d lines were sent", said)
	}
	_ = client.Close()
	_ = conn.Close()
	if err := passes(context.Background()); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("when it is closed: %v", err)
	}
}

func TestWait(t *testing.T) {
	errDown := errors.New("down")
	pace := probe.Pace{Hold: 30 * time.Millisecond, Poll: time.Millisecond}
	for _, tt := range []struct {
		name  string
		up    func(n int) bool // of the n-th answer
		fails string
	}{
		{"up", func(int) bool { return true }, ""},
		{"comes up", func(n int) bool { return n > 5 }, ""},
		{"once more", func(n int) bool { return n != 3 }, ""},
		{"down", func(int) bool { return false }, "handshake:x: down"},
		{"to and fro", func(n int) bool { return n%2 == 0 }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := probe.Parse("handshake:x")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			h := probe.Host{Up: func(context.Context, string) error {
				if n++; tt.up(n) {
					return nil
				}
				return errDown
			}}
			bound := 5 * time.Second
			if tt.fails != "" || tt.name == "to and fro" {
				bound = 150 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			defer cancel()
			err = probe.Wait(ctx, []probe.Probe{p}, h, pace)
			if settled := tt.fails == "" && tt.name != "to and fro"; settled != (err == nil) {
				t.Errorf("after %d answers: %v", n, err)
			}
			if tt.fails != "" && err.Error() != tt.fails {
				t.Errorf("error is %v", err)
			}
		})
	}
}
