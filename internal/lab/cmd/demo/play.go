package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// siteFile is the topology on the hosts, whose /etc is their own.
const siteFile = "/etc/vpnctl/site.yaml"

// gateways are the hosts on which vpnctl runs.
var gateways = []string{"linux1", "linux2"}

// play shows everything, and stops at the first thing that is not as it should
// be.
func play(s *stage, text string) (verdict string, err error) {
	carrier := "WireGuard in the kernel"
	if has, err := lab.HasLinkType("wireguard"); err != nil {
		return "", err
	} else if !has {
		carrier = "WireGuard in userspace, since this kernel has none"
	}
	s.say("Three machines, %s", carrier)
	s.print("linux1 10.12.0.201 --- 10.12.0.202 linux2 10.13.0.201 --- 10.13.0.202 linux3 (no VPN there)\n" +
		topology + " is " + siteFile + " on linux1 and linux2\n")
	s.write(text)
	before := s.state()
	var loss lab.Loss
	for _, act := range []func() error{
		s.showApply,
		s.showPing,
		s.showState,
		func() (err error) {
			loss, err = s.showChange(text)
			return err
		},
		func() error { return s.showDestroy(before) },
	} {
		if err := act(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("DEMO PASSED: linux1 reached linux3, a change cost no packet (%v), nothing is left", loss), nil
}

// write puts a topology on the gateways.
func (s *stage) write(text string) {
	for _, host := range gateways {
		s.lab.Host(host).WriteFile(siteFile, text, 0o600)
	}
}

// state is what a gateway's tools show, to compare before and after.
func (s *stage) state() string {
	var b strings.Builder
	for _, host := range gateways {
		for _, command := range []string{"ip -br addr", "ip route", "ip rule", "iptables -S", "iptables -t nat -S", "sysctl net.ipv4.ip_forward"} {
			b.WriteString(s.lab.Host(host).Run(strings.Fields(command)...))
		}
	}
	return b.String()
}

// showApply converges both gateways.
func (s *stage) showApply() error {
	s.say("vpnctl apply, on each gateway: first it prints the plan")
	for _, host := range gateways {
		if _, err := s.show(0, host, "vpnctl apply "+siteFile); err != nil {
			return err
		}
	}
	return nil
}

// showPing reaches the machine behind the other gateway.
func (s *stage) showPing() error {
	s.say("linux1 reaches linux3 through the tunnel; linux3 sees linux2's address")
	seen := s.lab.Host("linux3").Capture("ens160", "icmp", "and", "dst", "10.13.0.202")
	if _, err := s.show(0, "linux1", "ping -c 3 -i 0.2 10.13.0.202"); err != nil {
		return err
	}
	seen.Await("seq 3")
	out := seen.Stop()
	fmt.Fprintln(s.out, "linux3# tcpdump -n -i ens160 icmp and dst 10.13.0.202")
	s.print(out)
	if strings.Contains(out, "10.0.0.1") {
		return errors.New("translating: linux3 sees the tunnel's address")
	}
	return expect(out, "10.13.0.201 > 10.13.0.202")
}

// showState asks wg(8) and vpnctl.
func (s *stage) showState() error {
	s.say("What the kernel has, by wg(8), and what vpnctl says")
	if _, err := s.show(0, "linux1", "wg show"); err != nil {
		return err
	}
	for _, host := range gateways {
		out, err := s.show(0, host, "vpnctl diff")
		if err == nil {
			err = expect(out, "no changes\n")
		}
		if err != nil {
			return err
		}
	}
	for _, host := range gateways {
		out, err := s.show(0, host, "vpnctl status --check")
		if err == nil {
			err = expect(out, " up ")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// showChange adds a network and a phone, while packets flow.
func (s *stage) showChange(text string) (lab.Loss, error) {
	s.say("A change: a second network behind linux2, and a phone; a ping runs meanwhile")
	text = strings.Replace(text, "networks: [10.13.0.0/16]", "networks: [10.13.0.0/16, 10.14.0.0/16]", 1)
	text = strings.Replace(text, "\nnat:\n", `    peers:
      phone:
        addresses: [10.0.0.10/32]
        public_key: TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
        via: [linux2]

nat:
`, 1)
	s.write(text)
	ping := s.lab.Host("linux1").PingLoop("10.13.0.202")
	for _, host := range gateways {
		if _, err := s.show(1, host, "vpnctl diff "+siteFile); err != nil {
			return lab.Loss{}, err
		}
		if _, err := s.show(0, host, "vpnctl apply "+siteFile); err != nil {
			return lab.Loss{}, err
		}
	}
	ping.Await(3)
	loss := ping.Stop()
	s.print(fmt.Sprintf("ping from linux1 to linux3: %v\n", loss))
	if loss.Lost > 0 {
		return loss, errors.New("changing: the unchanged tunnel lost packets")
	}
	return loss, nil
}

// showDestroy removes everything.
func (s *stage) showDestroy(before string) error {
	s.say("vpnctl destroy: the gateways are as they were before the first apply")
	for _, host := range gateways {
		if _, err := s.show(0, host, "vpnctl destroy --yes"); err != nil {
			return err
		}
	}
	for _, command := range []string{"ip -br addr", "iptables -t nat -S", "sysctl net.ipv4.ip_forward"} {
		if _, err := s.show(0, "linux2", command); err != nil {
			return err
		}
	}
	if s.state() != before {
		return errors.New("destroying: the gateways are not as they were")
	}
	return nil
}
