package host_test

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/vpnctl/vpnctl/internal/host"
)

func TestProcList(t *testing.T) {
	got, err := host.Proc{}.List("net/ipv4/conf")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(got) || !slices.Contains(got, "lo") || !slices.Contains(got, "all") {
		t.Errorf("interfaces: %q", got)
	}
	if got, err := (host.Proc{}).List("net/absent"); err != nil || len(got) != 0 {
		t.Errorf("an absent folder: %q, %v", got, err)
	}
}

func TestProcWritable(t *testing.T) {
	if err := (host.Proc{}).Writable("net/ipv4/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent key: %v", err)
	}
	// Nobody may write what the kernel only tells.
	if err := (host.Proc{}).Writable("kernel/version"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a read-only key: %v", err)
	}
}
