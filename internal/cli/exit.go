package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// The exit codes; see contract, section 2.
const (
	exitOK      = 0
	exitDiffers = 1 // differences, or something is down
	exitUsage   = 2 // the topology or the command line is wrong
	exitRefused = 3 // this host refuses
	exitUndone  = 4 // failed, and the host is as it was
	exitStuck   = 5 // failed, and undoing failed, too
	exitLocked  = 6
)

// errDiffers ends a command that found differences. It says nothing: the output did.
var errDiffers = errors.New("differences")

// usageError is a topology or a command line that is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode is the one place that knows what an error means to whoever called vpnctl.
func exitCode(err error) int {
	var (
		undone *engine.UndoneError
		stuck  *engine.StuckError
		locked *engine.LockedError
		usage  *usageError
		file   source.Errors
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDiffers):
		return exitDiffers
	case errors.As(err, &stuck):
		return exitStuck
	case errors.As(err, &undone):
		return exitUndone
	case errors.As(err, &locked):
		return exitLocked
	case errors.As(err, &usage), errors.As(err, &file):
		return exitUsage
	}
	// A refusal, or what went wrong before anything was touched.
	return exitRefused
}

// message is what is printed of an error, a line each for those that are lists.
func message(err error) string {
	var file source.Errors
	switch {
	case err == nil, errors.Is(err, errDiffers):
		return ""
	case errors.Is(err, context.Canceled):
		return "vpnctl: interrupted: " + err.Error() + "\n"
	case errors.As(err, &file):
		return file.Error() + "\n"
	}
	var b strings.Builder
	for _, e := range leaves(err) {
		prefix := "vpnctl: "
		if backend.IsRefusal(e) {
			prefix = "refused: "
		}
		b.WriteString(prefix + e.Error() + "\n")
	}
	return b.String()
}

// leaves takes joined errors apart.
func leaves(err error) []error {
	var refused *engine.RefusedError
	if errors.As(err, &refused) && error(refused) == err {
		return leaves(refused.Err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}
