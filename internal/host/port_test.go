package host_test

import (
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/host"
)

func TestListeners(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	// One that is connected takes nothing from anybody else.
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tcp, udp := l.Addr().(*net.TCPAddr).Port, u.LocalAddr().(*net.UDPAddr).Port
	own := []int{os.Getpid()}
	for _, tt := range []struct {
		network string
		port    int
		want    []int
	}{
		{"tcp", tcp, own},
		{"udp", udp, own},
		{"tcp", c.LocalAddr().(*net.TCPAddr).Port, nil},
	} {
		pids, taken, err := host.Listeners(tt.network, tt.port)
		if err != nil || taken != (tt.want != nil) {
			t.Errorf("%s %d: taken %t, %v", tt.network, tt.port, taken, err)
		}
		if diff := cmp.Diff(tt.want, pids); diff != "" {
			t.Errorf("%s %d (-want +got):\n%s", tt.network, tt.port, diff)
		}
	}
	_, _, _ = l.Close(), u.Close(), c.Close()
	for network, port := range map[string]int{"tcp": tcp, "udp": udp} {
		if pids, taken, err := host.Listeners(network, port); taken || len(pids) > 0 || err != nil {
			t.Errorf("%s %d when closed: %v, %t, %v", network, port, pids, taken, err)
		}
	}
}
