package topology

import (
	"os"
	"path/filepath"
	"testing"
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
