package ipsec

import (
	"os"
	"testing"
)

// TestRun: a charon has one run, whatever the moment of the question, and one whose process
// cannot be seen has a run all the same.
func TestRun(t *testing.T) {
	own := &session{pid: os.Getpid()}
	first, err := own.Run()
	if again, _ := own.Run(); err != nil || first != again || first == hidden {
		t.Errorf("this process is run %q, then %q, %v", first, again, err)
	}
	if id, err := (&session{}).Run(); id != hidden || err != nil {
		t.Errorf("one that is not seen is run %q, %v", id, err)
	}
}
