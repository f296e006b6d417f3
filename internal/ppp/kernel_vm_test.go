//go:build vm

package ppp_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// station is a host on which two pppds speak to each other over a terminal. No daemon
// carries them: what they read is all that is looked at.
type station struct {
	*lab.Host
	t *testing.T
}

func newStation(t *testing.T) *station {
	for _, m := range []string{"ppp_generic", "ppp_async", "ppp_mppe"} {
		if out, err := exec.Command("modprobe", m).CombinedOutput(); err != nil {
			t.Fatalf("loading %s: %v: %s", m, err, out)
		}
	}
	l := lab.Start(t, lab.Wire("gw:eth0 10.13.0.101/24", "pc:eth0 10.13.0.105/24"))
	return &station{l.Host("gw"), t}
}

// write writes what a state has of files, with the secrets in them.
func (s *station) write(state *desired.State, secrets vault) {
	s.t.Helper()
	files, err := ppp.Render(state, func(id secret.ID) (string, bool) {
		v, err := secrets.Value(id)
		return string(v.Reveal()), err == nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		s.WriteFile(f.Path, string(f.Data), f.Mode)
	}
}

// octal writes a word for pppd in another way than the package does.
func octal(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\%03o`, s[i])
	}
	return b.String()
}

// login is a client of the server: its name, password and further options.
type login struct {
	user, password string
	address        string // that the daemon would choose
	options        string
}

// dial starts a client, and the server at the other end of its terminal. What both say is
// in the output.
func (s *station) dial(server *desired.PPPServer, l login) *lab.Process {
	s.t.Helper()
	name := "/tmp/" + l.address
	s.WriteFile(name, fmt.Sprintf("user %s\npassword %s\n%s\n", octal(l.user), octal(l.password), l.options), 0o600)
	far := fmt.Sprintf("pppd notty nodetach debug logfile %s.log file %s %s:%s",
		name, ppp.OptionsPath(&server.PPPTunnel), server.LocalIP, l.address)
	return s.Start("pppd", "nodetach", "debug", "noauth", "noipdefault", "ipcp-accept-local", "ipcp-accept-remote",
		"nodefaultroute", "noipv6", "pty", far, "file", name)
}

// sessions are those of the server.
func (s *station) sessions() []ppp.Session {
	s.t.Helper()
	var all []ppp.Session
	if err := s.Do(func() (err error) {
		all, err = ppp.Live().List(context.Background())
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(o ppp.Session) bool { return o.Name == "" || o.Link })
}

// session awaits that of a user.
func (s *station) session(user string) ppp.Session {
	s.t.Helper()
	var found ppp.Session
	s.Eventually(20*time.Second, func() error {
		for _, o := range s.sessions() {
			if o.User == user {
				found = o
				return nil
			}
		}
		return fmt.Errorf("no session of %q: %+v\n%s", user, s.sessions(), s.log())
	})
	return found
}

// recorded awaits that the hook has told of a session.
func (s *station) recorded(o ppp.Session) {
	s.t.Helper()
	s.Eventually(20*time.Second, func() error {
		_, err := s.Try("test", "-f", ppp.RecordFolder+"/"+o.Interface)
		return err
	})
}

func (s *station) log() string {
	out, _ := s.Try("sh", "-c", "tail -n 40 /tmp/192*.log; ls -l /run/*.pid /run/vpnctl/sessions; cat /run/vpnctl/sessions/*")
	return out
}

// alone awaits that there is no session.
func (s *station) alone() {
	s.t.Helper()
	s.Eventually(20*time.Second, func() error {
		if all := s.sessions(); len(all) > 0 {
			return fmt.Errorf("there are still sessions: %+v", all)
		}
		return nil
	})
}

// TestPasswordsOnTheKernel: what the topology takes for a password logs in, in every way
// to log in.
func TestPasswordsOnTheKernel(t *testing.T) {
	s := newStation(t)
	secrets := vault{}
	passwords := []string{
		`p a#s"q'\`, "*", " ", "pässwörd", `\x41\101"`, strings.Repeat(`"\ #'*`, 42) + "abc", "0x123456", "-",
	}
	server := server("office", func(s *desired.PPPServer) { s.Auth = []string{"mschapv2", "chap", "pap"} })
	for i, p := range passwords {
		server.Users = append(server.Users, desired.PPPUser{Name: fmt.Sprintf(`us er%d"\`, i), Password: secrets.put(p)})
	}
	s.write(state(server), secrets)
	refuse := map[string]string{"mschapv2": "", "chap": "refuse-mschap-v2\nrefuse-mschap", "pap": "refuse-mschap-v2\nrefuse-mschap\nrefuse-chap"}
	for i, p := range passwords {
		for _, auth := range []string{"mschapv2", "chap", "pap"} {
			if auth == "chap" && i%3 > 0 || auth == "pap" && (i%3 > 0 || strings.ContainsFunc(p, func(r rune) bool { return r > '~' })) {
				continue // the file is read the same way; PAP is ASCII alone
			}
			l := login{user: server.Users[i].Name, password: p, address: "192.168.130.100", options: "refuse-eap\n" + refuse[auth]}
			client := s.dial(&server, l)
			s.session(l.user)
			client.Stop()
			s.alone()
		}
	}
	wrong := s.dial(&server, login{user: server.Users[0].Name, password: "wrong", address: "192.168.130.101", options: "refuse-eap"})
	s.Eventually(20*time.Second, func() error {
		if !wrong.Ended() {
			return fmt.Errorf("a wrong password goes on: %s", s.log())
		}
		return nil
	})
}

// TestSessionsOnTheKernel looks at hooks and sessions: who is who, one login, the end.
func TestSessionsOnTheKernel(t *testing.T) {
	s := newStation(t)
	secrets := vault{}
	server := server("office", func(s *desired.PPPServer) {
		s.OneLogin, s.MTU = true, 1400
		s.DNS = []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.4.4")}
		s.Users = []desired.PPPUser{
			{Name: "fixed", Password: secrets.put("two"), Address: netip.MustParseAddr("192.168.130.50")},
			{Name: "pooled", Password: secrets.put("one")},
		}
	})
	s.write(state(server), secrets)
	first := s.dial(&server, login{user: "pooled", password: "one", address: "192.168.130.100", options: "usepeerdns"})
	got := s.session("pooled")
	if got.Protocol != desired.L2TP || got.Name != "office" || got.Remote.String() != "192.168.130.100" || got.Local != server.LocalIP || got.RxBytes == 0 {
		t.Errorf("session is %+v", got)
	}
	if out := s.Run("ip", "link", "show", got.Interface); !strings.Contains(out, "mtu 1400") {
		t.Errorf("link is %s", out)
	}
	s.recorded(got)
	if mode := s.Run("stat", "-c", "%a %u", ppp.RecordFolder+"/"+got.Interface, ppp.RecordFolder); mode != "600 0\n700 0\n" {
		t.Errorf("records have mode %s", mode)
	}
	fixed := s.dial(&server, login{user: "fixed", password: "two", address: "192.168.130.101"})
	own := s.session("fixed")
	if own.Remote.String() != "192.168.130.50" {
		t.Errorf("session is %+v", own)
	}
	s.recorded(own)
	// The newer login of a user ends the older, and that alone.
	second := s.dial(&server, login{user: "pooled", password: "one", address: "192.168.130.102"})
	s.Eventually(20*time.Second, func() error {
		all := s.sessions()
		if len(all) != 2 || !first.Ended() {
			return fmt.Errorf("sessions are %+v", all)
		}
		return nil
	})
	if now := s.session("pooled"); now.PID == got.PID || fixed.Ended() {
		t.Errorf("the session that is left is %+v", now)
	}
	// Without the record pppd's own memory tells.
	s.Run("rm", "-r", ppp.RecordFolder)
	if now := s.session("pooled"); now.Remote.String() != "192.168.130.102" {
		t.Errorf("without records the session is %+v", now)
	}
	s.Run("kill", fmt.Sprint(s.session("fixed").PID))
	second.Stop()
	fixed.Stop()
	s.alone()
	if out, _ := s.Try("ls", ppp.RecordFolder); out != "" {
		t.Errorf("records are left: %s", out)
	}
}

// TestMPPEOnTheKernel: both ends encrypt, and who does not is refused.
func TestMPPEOnTheKernel(t *testing.T) {
	s := newStation(t)
	secrets := vault{}
	server := server("legacy", func(s *desired.PPPServer) {
		s.Protocol, s.Auth, s.MPPE = desired.PPTP, []string{"mschapv2"}, true
		s.Users = []desired.PPPUser{{Name: "user1", Password: secrets.put("123456")}}
	})
	s.write(state(server), secrets)
	client := s.dial(&server, login{user: "user1", password: "123456", address: "192.168.131.100", options: "require-mppe-128\nnobsdcomp\nnodeflate"})
	s.session("user1")
	s.Eventually(10*time.Second, func() error {
		if log := s.ReadFile("/tmp/192.168.131.100.log"); !strings.Contains(log, "MPPE 128-bit stateless compression enabled") {
			return fmt.Errorf("log is %s", log)
		}
		return nil
	})
	client.Stop()
	s.alone()
	plain := s.dial(&server, login{user: "user1", password: "123456", address: "192.168.131.101", options: "nomppe"})
	s.Eventually(20*time.Second, func() error {
		if !plain.Ended() {
			return fmt.Errorf("a client without MPPE goes on: %s", s.log())
		}
		return nil
	})
}
