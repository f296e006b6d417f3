package engine

import "strings"

// RefusedError says that the host refuses; nothing was touched.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the refusals.
func (e *RefusedError) Unwrap() error { return e.Err }

// UndoneError says that an apply failed and that the host is as it was before.
type UndoneError struct {
	Err error // what failed
}

func (e *UndoneError) Error() string {
	return e.Err.Error() + "; everything that was done has been undone"
}

// Unwrap returns what failed.
func (e *UndoneError) Unwrap() error { return e.Err }

// StuckError says that an apply failed, and undoing it, too.
type StuckError struct {
	Err  error
	Left []string // what could not be undone, and why
}

func (e *StuckError) Error() string {
	return e.Err.Error() + "; undoing it failed, this is left:\n  " + strings.Join(e.Left, "\n  ")
}

// Unwrap returns what failed first.
func (e *StuckError) Unwrap() error { return e.Err }
