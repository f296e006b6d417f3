// Command vulncheck runs govulncheck, and fails where vpnctl calls what is
// vulnerable on Linux.
//
//	vulncheck GOVULNCHECK DATABASE [PACKAGES]
//
// Both come by the module proxy: GOVULNCHECK is the command's package@version,
// and DATABASE a version of golang.org/x/vulndb, so no other host need be
// reachable. govulncheck itself also counts what is vulnerable on other
// systems only.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// database is the module that holds the reports.
const database = "golang.org/x/vulndb"

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: vulncheck GOVULNCHECK DATABASE [PACKAGES]")
		os.Exit(2)
	}
	found, err := check(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
	for _, f := range found {
		fmt.Println(f)
	}
	fmt.Printf("vulncheck: %d vulnerabilities are called, by the reports of %s\n", len(found), os.Args[2])
	if len(found) > 0 {
		os.Exit(1)
	}
}

// check runs govulncheck.
func check(program, version string, patterns []string) ([]string, error) {
	out, err := output("go", "mod", "download", "-json", database+"@"+version)
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, fmt.Errorf("reading database's place: %w", err)
	}
	db := "file://" + filepath.Join(module.Dir, "data", "osv")
	out, err = output(append([]string{"go", "run", program, "-format", "json", "-db", db}, patterns...)...)
	if err != nil {
		return nil, err
	}
	return called(bytes.NewReader(out))
}

// output runs a command and returns what it prints.
func output(argv ...string) ([]byte, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w", argv[0], argv[1], err)
	}
	return out, nil
}
