package lab

import (
	"fmt"
	"os"
	"time"
)

// emulated is how much longer than on a plain machine things may take in the
// virtual machine, whose processor is emulated.
const emulated = 6

// InVM reports whether the program runs in the virtual machine of vmrun.
func InVM() bool { return os.Getenv("VPNCTL_LAB") == "vm" }

// scaled returns a bound for the machine that the program runs on.
func scaled(d time.Duration) time.Duration {
	if InVM() {
		return d * emulated
	}
	return d
}

// Await waits until cond returns nil, and returns its last error when that
// takes longer than timeout, which is several times longer in the virtual
// machine. It is for conditions that nothing announces.
func Await(timeout time.Duration, cond func() error) error {
	start := time.Now()
	pause := 10 * time.Millisecond
	for {
		err := cond()
		if err == nil {
			return nil
		}
		if waited := time.Since(start); waited > scaled(timeout) {
			return fmt.Errorf("gave up after %s: %w", waited.Round(time.Second), err)
		}
		time.Sleep(pause)
		// Most conditions fork a process: ask less and less often.
		pause = min(pause*3/2, 500*time.Millisecond)
	}
}
