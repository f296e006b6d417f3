package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// filter shows of the output of go test -v what matters.
type filter struct {
	out     io.Writer
	times   bool
	skipped []string
	held    []string // the output of the current package
}

// copy reads the output to its end.
func (f *filter) copy(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		// No Scanner: a line may be of any length.
		line, err := in.ReadString('\n')
		if line != "" {
			f.line(strings.TrimSuffix(line, "\n"))
		}
		if err == io.EOF {
			// Without its closing line the package has crashed.
			f.flush()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line handles one line.
func (f *filter) line(s string) {
	switch trimmed := strings.TrimLeft(s, " "); {
	case strings.HasPrefix(s, "ok  \t"):
		f.held = nil
		fmt.Fprintln(f.out, s)
	case strings.HasPrefix(s, "FAIL\t"):
		f.flush()
		fmt.Fprintln(f.out, s)
	case strings.HasPrefix(s, "?   \t"), strings.HasSuffix(s, "coverage: 0.0% of statements") && s[0] == '\t':
		// No test files.
	case strings.HasPrefix(trimmed, "--- SKIP: "):
		f.skipped = append(f.skipped, trimmed)
		fmt.Fprintln(f.out, s)
	case f.times && strings.HasPrefix(s, "--- "):
		fmt.Fprintln(f.out, s)
	default:
		f.held = append(f.held, s)
	}
}

// flush prints what was held back.
func (f *filter) flush() {
	for _, s := range f.held {
		// Where a test begins says nothing that its end does not say.
		if !strings.HasPrefix(s, "=== ") || strings.HasPrefix(s, "=== RUN") {
			fmt.Fprintln(f.out, s)
		}
	}
	f.held = nil
}
