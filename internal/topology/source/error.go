package source

import (
	"sort"
	"strings"
)

// Error is what is wrong at one place of the file.
type Error struct {
	Pos Pos
	Err error
}

// Error returns file:line:column: key.path: what is wrong.
func (e *Error) Error() string { return e.Pos.Prefix() + ": " + e.Err.Error() }

// Unwrap returns what is wrong without the place.
func (e *Error) Unwrap() error { return e.Err }

// Errors is everything that is wrong with a file.
type Errors []*Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors one by one.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// Sort orders the errors as they stand in the file.
func (e Errors) Sort() {
	sort.SliceStable(e, func(i, j int) bool { return e[i].Pos.Before(e[j].Pos) })
}

// Err returns the list as an error, nil where it is empty.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
