package lab

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// T is the part of testing.TB that a lab uses, so that programs without tests
// need not link package testing.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Lab is a set of running hosts.
type Lab struct {
	hosts map[string]*Host
}

// Start builds a lab that ends with the test, and fails the test where none
// can be built.
func Start(t T, links ...Link) *Lab {
	t.Helper()
	l, err := New(links...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return l.With(t)
}

// New builds a lab outside of a test. The caller closes it. Where a method of
// its hosts would fail the test, it panics.
func New(links ...Link) (*Lab, error) {
	p, err := parse(links)
	if err != nil {
		return nil, err
	}
	l := &Lab{hosts: make(map[string]*Host)}
	err = l.startHosts(p.hosts)
	if err == nil {
		err = l.connect(p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting lab: %w", err), l.Close())
	}
	return l, nil
}

// startHosts starts all hosts at once: most of the time goes into the start of
// the holder processes.
func (l *Lab) startHosts(names []string) error {
	var mu sync.Mutex
	return parallel(names, func(name string) error {
		h, err := startHost(name)
		if err != nil {
			return fmt.Errorf("starting host %q: %w", name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		l.hosts[name] = &Host{holder: h, t: panicking{}}
		return nil
	})
}

// Host returns a host, or the switch of a LAN, by its name.
func (l *Lab) Host(name string) *Host {
	h, ok := l.hosts[name]
	if !ok {
		panic(fmt.Sprintf("lab: no host %q", name))
	}
	return h
}

// With returns the same lab for a subtest: what fails, fails t.
func (l *Lab) With(t T) *Lab {
	hosts := make(map[string]*Host)
	for name, h := range l.hosts {
		hosts[name] = &Host{holder: h.holder, t: t}
	}
	return &Lab{hosts: hosts}
}

// Close ends all processes of the lab and removes its hosts and links.
func (l *Lab) Close() error {
	var names []string
	for name := range l.hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return parallel(names, func(name string) error {
		if err := l.hosts[name].stop(); err != nil {
			return fmt.Errorf("stopping host %q: %w", name, err)
		}
		return nil
	})
}

// parallel runs fn for all names at once and joins the errors in order.
func parallel(names []string, fn func(string) error) error {
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { errs[i] = fn(name) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// panicking stands in for the test where there is none.
type panicking struct{}

func (panicking) Helper()        {}
func (panicking) Cleanup(func()) {}

func (panicking) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (panicking) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
