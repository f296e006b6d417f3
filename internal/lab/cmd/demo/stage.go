package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// width is what a terminal or a page holds.
const width = 100

// stage is where the demonstration happens.
type stage struct {
	ctx     context.Context
	out     io.Writer
	lab     *lab.Lab
	program string // vpnctl
}

// say prints a heading.
func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.out, "\n== %s\n", fmt.Sprintf(format, args...))
}

// show runs a command on a host, prints both as a terminal would, and returns
// the output. Another exit code than the wanted one is an error.
func (s *stage) show(want int, host, command string) (string, error) {
	fmt.Fprintf(s.out, "%s# %s\n", host, command)
	argv := strings.Fields(command)
	if argv[0] == "vpnctl" {
		argv[0] = s.program
	}
	var b bytes.Buffer
	cmd := s.lab.Host(host).Cmd(s.ctx, argv...)
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	s.print(b.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", fmt.Errorf("running %q on %s: %w", command, host, err)
	}
	code := cmd.ProcessState.ExitCode()
	if code != 0 {
		fmt.Fprintf(s.out, "    (exit %d)\n", code)
	}
	if code != want {
		return "", fmt.Errorf("running %q on %s: exit %d, want %d", command, host, code, want)
	}
	return b.String(), nil
}

// print prints output, indented and folded.
func (s *stage) print(text string) {
	const indent = "    "
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		line = strings.TrimRight(line, " ")
		for room := width - len(indent); len(line) > room; {
			// At a space, where there is one.
			cut := strings.LastIndexByte(line[:room], ' ')
			if cut < room/2 {
				cut = room
			}
			fmt.Fprintf(s.out, "%s%s\n", indent, line[:cut])
			line = indent + strings.TrimLeft(line[cut:], " ")
		}
		fmt.Fprintln(s.out, strings.TrimRight(indent+line, " "))
	}
}

// expect is an error unless the output of a command has the text.
func expect(out, text string) error {
	if !strings.Contains(out, text) {
		return fmt.Errorf("no %q in the output", text)
	}
	return nil
}
