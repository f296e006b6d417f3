package main

import (
	"fmt"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// machine makes hosts.
type machine struct {
	hosts int
	// shared is the host of the runs of one scenario; nil where each has its own.
	shared *lab.Host
}

// host is a new host with a wire to the world, and with the files of both sides. It stays
// until the program ends.
func (m *machine) host(peers int) (*lab.Host, error) {
	m.hosts++
	name := fmt.Sprintf("gw%d", m.hosts)
	l, err := lab.New(lab.Alone(name))
	if err != nil {
		return nil, err
	}
	h := l.Host(name)
	for _, argv := range [][]string{
		{"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "world"},
		{"ip", "addr", "add", "192.0.2.1/24", "dev", "eth0"},
		{"ip", "link", "set", "eth0", "up"},
		{"ip", "link", "set", "world", "up"},
	} {
		if _, err := h.Try(argv...); err != nil {
			return nil, err
		}
	}
	writeFiles(h, peers)
	return h, nil
}

// prepare makes ready what the runs of a scenario share.
func (m *machine) prepare(s *scenario, env ...string) (err error) {
	m.shared = nil
	if s.before == nil {
		return nil
	}
	if m.shared, err = m.host(s.peers); err != nil {
		return err
	}
	return m.shared.Do(func() error {
		_, err := runAll(s.before, env...)
		return err
	})
}

// run runs one side once.
func (m *machine) run(s *scenario, commands [][]string, env ...string) (u usage, err error) {
	h := m.shared
	if h == nil {
		if h, err = m.host(s.peers); err != nil {
			return u, err
		}
	}
	err = h.Do(func() error {
		u, err = runAll(commands, env...)
		return err
	})
	return u, err
}
