package lab

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs in the background of a host.
type Process struct {
	host *Host
	cmd  *Cmd
	out  buffer
	log  *buffer // standard error: out itself, but for a capture
	done chan struct{}
}

// Start starts a program in the background. It ends with the lab.
func (h *Host) Start(argv ...string) *Process {
	h.t.Helper()
	p := &Process{host: h}
	p.log = &p.out
	p.start(argv)
	return p
}

// start runs the program and reaps it.
func (p *Process) start(argv []string) {
	p.host.t.Helper()
	p.done = make(chan struct{})
	p.cmd = p.host.Cmd(context.Background(), argv...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, p.log
	if err := p.cmd.Start(); err != nil {
		p.host.t.Fatalf("starting %q on %s: %v", strings.Join(argv, " "), p.host.name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
}

// Capture shows the packets on an interface as text, one or more lines each.
// It returns when the capture has begun.
func (h *Host) Capture(iface string, filter ...string) *Process {
	h.t.Helper()
	p := &Process{host: h, log: new(buffer)}
	argv := []string{"tcpdump", "-i", iface, "-n", "-l", "--immediate-mode", "-Z", "root"}
	p.start(append(argv, filter...))
	p.await(p.log, "listening on", 20*time.Second)
	return p
}

// Output returns what the program has written so far, both streams in one;
// of a capture, the packets.
func (p *Process) Output() string { return p.out.String() }

// Await waits until the output has the text, and fails the test when it has
// not in ten seconds (longer in the virtual machine).
func (p *Process) Await(text string) {
	p.host.t.Helper()
	p.await(&p.out, text, 10*time.Second)
}

// await waits for a text in one of the streams.
func (p *Process) await(b *buffer, text string, timeout time.Duration) {
	p.host.t.Helper()
	err := Await(timeout, func() error {
		ended := p.Ended() // before the look at the output, which is complete then
		if b.Contains(text) {
			return nil
		}
		if ended {
			p.host.t.Fatalf("%s ended on %s before %q:\n%s%s", p.cmd.Args[0], p.host.name, text, p.out.String(), p.stderr())
		}
		return fmt.Errorf("no %q from %s", text, p.cmd.Args[0])
	})
	if err != nil {
		p.host.t.Fatalf("waiting on %s: %v\n%s%s", p.host.name, err, p.out.String(), p.stderr())
	}
}

// stderr returns standard error where it is a stream apart.
func (p *Process) stderr() string {
	if p.log == &p.out {
		return ""
	}
	return p.log.String()
}

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal to the program, if that has not ended.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// Stop ends the program, kills it where it does not obey, and returns its
// output. Packets that are still on their way are not waited for: before
// judging by what a capture lacks, await something that came later.
func (p *Process) Stop() string {
	return p.stop(syscall.SIGTERM)
}

// stop ends the program by a signal of its liking.
func (p *Process) stop(sig syscall.Signal) string {
	p.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(scaled(10 * time.Second)):
		p.Signal(syscall.SIGKILL)
		<-p.done
	}
	return p.Output()
}

// buffer is a bytes.Buffer for one writer and many readers.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// Contains looks for a text.
func (b *buffer) Contains(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Contains(b.buf.Bytes(), []byte(text))
}

// String returns a copy.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
