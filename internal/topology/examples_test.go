package topology

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("found %d examples: %v", len(files), err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		top, _, err := Parse(filepath.Base(file), src)
		if err != nil {
			t.Errorf("Parse: %v", err)
			continue
		}
		if want := filepath.Base(file); top.Site+".yaml" != want {
			t.Errorf("site of %s is %s", want, top.Site)
		}
	}
}

func TestWholeSchemaLoads(t *testing.T) {
	src, err := os.ReadFile("testdata/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, errs, warns := parseText(t, string(src))
	if len(errs) > 0 {
		t.Errorf("errors: %q", errs)
	}
	want := []string{
		"f:49:32: ipsec.hq-branch.dpd.timeout: has no effect: it counts for ike_version: 1 only, and IKEv2 gives up after its retransmissions",
		"f:64:3: l2tp.office: cannot be used from Android 12 and later, which have no L2TP; IKEv2 works there",
		"f:83:3: pptp.legacy: is PPTP: MS-CHAPv2 and MPPE are broken cryptography, and whoever records a session can read it",
		"f:83:3: pptp.legacy: cannot be used from Apple's systems nor from Android 12 and later, which have no PPTP; IKEv2 works there",
	}
	if diff := cmp.Diff(want, warns); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
