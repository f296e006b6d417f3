package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// operator is somebody on one host who works on another over TCP, as SSH does.
type operator struct {
	t            testing.TB
	gw           *node
	there, here  net.Conn // his end, and the gateway's
	connection   string   // as sshd tells it
	read, answer *bufio.Reader
}

// sshPort is where the gateways listen.
const sshPort = 22

// logIn connects a host to an address of a node, by an address of its own.
func logIn(t testing.TB, from *lab.Host, by string, gw *node, to string) *operator {
	t.Helper()
	o := &operator{t: t, gw: gw}
	var l *net.TCPListener
	err := gw.Do(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), sshPort)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	from.Eventually(20*time.Second, func() error {
		return from.Do(func() (err error) {
			d := net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(by)}}
			o.there, err = d.Dial("tcp", l.Addr().String())
			return err
		})
	})
	if o.here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = o.there.Close(), o.here.Close() })
	o.read, o.answer = bufio.NewReader(o.there), bufio.NewReader(o.here)
	remote, local := o.here.RemoteAddr().(*net.TCPAddr), o.here.LocalAddr().(*net.TCPAddr)
	o.connection = fmt.Sprintf("%s %d %s %d", remote.IP, remote.Port, local.IP, local.Port)
	return o
}

// vpnctl runs vpnctl on the gateway as the operator's shell would.
func (o *operator) vpnctl(args ...string) result {
	o.t.Helper()
	return o.gw.exec(append([]string{"env", "SSH_CONNECTION=" + o.connection, o.gw.program}, args...)...)
}

// types says something both ways, and reports whether it arrived in time.
func (o *operator) types(patience time.Duration) error {
	for _, way := range []struct {
		from net.Conn
		to   net.Conn
		read *bufio.Reader
	}{{o.there, o.here, o.answer}, {o.here, o.there, o.read}} {
		if _, err := way.from.Write([]byte("hello\n")); err != nil {
			return err
		}
		if err := way.to.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := way.read.ReadString('\n'); err != nil {
			return err
		}
	}
	return nil
}

// alive fails the test unless the connection carries what is typed.
func (o *operator) alive(when string) {
	o.t.Helper()
	if err := o.types(30 * time.Second); err != nil {
		o.t.Fatalf("the operator's connection %s: %v", when, err)
	}
}

// lost fails the test unless it carries nothing any more. Retransmissions come 0.2, 0.6 and
// 1.4 seconds after what was lost.
func (o *operator) lost(when string) {
	o.t.Helper()
	if err := o.types(2 * time.Second); err == nil {
		o.t.Fatalf("the operator's connection lives %s", when)
	}
}

// refuses runs an apply that must be refused for the sake of the connection, naming an
// object, and then one that the operator insists on, and that does cut him off.
func (o *operator) refuses(object string, args ...string) {
	o.t.Helper()
	before := snapshot(o.gw)
	r := o.vpnctl(args...)
	if r.code != 3 || !strings.Contains(r.stderr, "refused: "+object+": the management connection with ") {
		o.t.Fatalf("want a refusal of %s, got %s", object, r)
	}
	before.same(o.gw, "a refused apply")
	o.alive("after a refusal")
	r = o.vpnctl(append(args, "--allow-lockout")...)
	if r.code != 0 || !strings.Contains(r.stderr, "warning: "+object+": ") {
		o.t.Fatalf("want an apply with a warning of %s, got %s", object, r)
	}
	o.lost("after " + object)
}

// allows runs an apply that costs the operator nothing.
func (o *operator) allows(args ...string) {
	o.t.Helper()
	if r := o.vpnctl(args...); r.code != 0 || r.stderr != "" {
		o.t.Fatalf("want an apply, got %s", r)
	}
	o.alive("after a harmless change")
}
