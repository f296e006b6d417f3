package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// message is one of those that govulncheck prints as JSON.
type message struct {
	Config  *struct{}
	OSV     *report
	Finding *finding
}

// report says what is vulnerable.
type report struct {
	ID, Summary string
	Affected    []struct {
		Specific struct {
			Imports []struct {
				Path string
				GOOS []string
			}
		} `json:"ecosystem_specific"`
	}
}

// finding says how we come to it: the first frame is the vulnerable place.
type finding struct {
	OSV   string
	Fixed string `json:"fixed_version"`
	Trace []struct{ Module, Version, Package, Function string }
}

// called returns, once each, the vulnerabilities in functions that are called.
func called(r io.Reader) ([]string, error) {
	reports := make(map[string]*report)
	var findings []*finding
	complete := false
	for dec := json.NewDecoder(r); ; {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading govulncheck: %w", err)
		}
		complete = complete || m.Config != nil
		if m.OSV != nil {
			reports[m.OSV.ID] = m.OSV
		}
		if m.Finding != nil {
			findings = append(findings, m.Finding)
		}
	}
	if !complete {
		return nil, errors.New("reading govulncheck: it printed no configuration")
	}
	var lines []string
	for _, f := range findings {
		if rep := reports[f.OSV]; rep != nil && f.calls() && rep.onLinux(f.Trace[0].Package) {
			lines = append(lines, fmt.Sprintf("%s: %s (%s@%s, fixed in %s)", f.OSV, rep.Summary, f.Trace[0].Module, f.Trace[0].Version, f.Fixed))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// calls reports whether a function is called, where other findings only import
// its package or require its module.
func (f *finding) calls() bool { return len(f.Trace) > 0 && f.Trace[0].Function != "" }

// onLinux reports whether a package is vulnerable on Linux.
func (r *report) onLinux(pkg string) bool {
	named := false
	for _, a := range r.Affected {
		for _, i := range a.Specific.Imports {
			if i.Path != pkg {
				continue
			}
			named = true
			if len(i.GOOS) == 0 || slices.Contains(i.GOOS, "linux") {
				return true
			}
		}
	}
	// A report that does not name the package speaks of the whole module.
	return !named
}
