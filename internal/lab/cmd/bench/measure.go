package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// usage is what some processes, one after the other, took.
type usage struct {
	seconds float64
	peak    float64 // MiB, of the largest
}

// runAll runs command lines in the namespaces of the calling thread, as a shell would.
// What they print is thrown away.
func runAll(commands [][]string, env ...string) (usage, error) {
	var u usage
	start := time.Now()
	for _, argv := range commands {
		peak, err := runOne(argv, env...)
		if err != nil {
			return u, err
		}
		u.peak = max(u.peak, peak)
	}
	u.seconds = time.Since(start).Seconds()
	return u, nil
}

func runOne(argv []string, env ...string) (peak float64, err error) {
	var stderr bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("running %s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, nil
	}
	return float64(ru.Maxrss) / 1024, nil
}

// row is the result of a comparison.
type row struct {
	scenario
	ours, theirs, ratios []float64
	ourPeak, theirPeak   float64
}

func (r *row) add(ours, theirs usage) {
	r.ours = append(r.ours, ours.seconds)
	r.theirs = append(r.theirs, theirs.seconds)
	r.ratios = append(r.ratios, ours.seconds/theirs.seconds)
	r.ourPeak = max(r.ourPeak, ours.peak)
	r.theirPeak = max(r.theirPeak, theirs.peak)
}

func (r *row) missed() bool { return r.aim != 0 && median(r.ratios) > r.aim }

func (r *row) aimText() string {
	if r.aim == 0 {
		return "none"
	}
	return fmt.Sprintf("<= %g", r.aim)
}

func (r *row) verdict() string {
	switch {
	case r.missed():
		return "MISSED"
	case !r.warm:
		return "one pair: it takes minutes"
	}
	return ""
}

// median is 0 for no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
