// Package engine turns a desired state into one apply: it locks, lets every backend look
// at the host and plan, puts all steps into one order, writes each to the journal before
// it is done, and undoes what was done when one fails or somebody interrupts. It knows no
// protocol.
package engine
