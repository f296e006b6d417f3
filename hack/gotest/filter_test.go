package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	passing = "=== RUN   TestA\n    a_test.go:1: detail\n--- PASS: TestA (0.50s)\nPASS\nok  \tx/a\t0.6s\n"
	failing = "=== RUN   TestB\n    b_test.go:1: wrong\n--- FAIL: TestB (0.01s)\nFAIL\nFAIL\tx/b\t0.1s\n"
	skipped = "=== RUN   TestC\n=== RUN   TestC/sub\n    c_test.go:1: no tool\n    --- SKIP: TestC/sub (0.00s)\n--- PASS: TestC (0.00s)\nPASS\nok  \tx/c\t0.1s\n"
	crashed = "=== RUN   TestD\npanic: oh"
	untried = "?   \tx/e\t[no test files]\n"
)

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times bool
		in    string
		want  string
		skips int
	}{
		{name: "passing", in: passing, want: "ok  \tx/a\t0.6s\n"},
		{name: "times", times: true, in: passing, want: "--- PASS: TestA (0.50s)\nok  \tx/a\t0.6s\n"},
		{name: "failing", in: passing + failing, want: "ok  \tx/a\t0.6s\n" + failing},
		{name: "skipped", in: skipped, want: "    --- SKIP: TestC/sub (0.00s)\nok  \tx/c\t0.1s\n", skips: 1},
		{name: "crashed", in: passing + crashed, want: "ok  \tx/a\t0.6s\n" + crashed + "\n"},
		{name: "no tests", in: untried, want: ""},
		{name: "long line", in: strings.Repeat("x", 1<<20), want: strings.Repeat("x", 1<<20) + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			f := &filter{out: &out, times: tt.times}
			if err := f.copy(strings.NewReader(tt.in)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if len(f.skipped) != tt.skips {
				t.Errorf("skipped: %q, want %d", f.skipped, tt.skips)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         int
	}{
		{"passing", "printf 'ok  \\tx\\t1s\\n'", 0},
		{"failing", "exit 3", 3},
		{"skipped", "echo '--- SKIP: TestA (0.00s)'", 1},
		{"killed", "kill -9 $$", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := run(context.Background(), []string{"sh", "-c", tt.script}, &filter{out: new(bytes.Buffer)})
			if got != tt.want {
				t.Errorf("exit code is %d, want %d", got, tt.want)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	// The inner shell is one that the outer one does not pass signals on to.
	start := time.Now()
	got := run(ctx, []string{"sh", "-c", "sh -c 'sleep 20'; exit 5"}, &filter{out: new(bytes.Buffer)})
	if got == 0 || time.Since(start) > 10*time.Second {
		t.Errorf("exit code after an interrupt is %d, after %s", got, time.Since(start))
	}
	if got := run(context.Background(), []string{"/no/such/program"}, &filter{out: new(bytes.Buffer)}); got != 1 {
		t.Errorf("exit code without a program is %d", got)
	}
}
