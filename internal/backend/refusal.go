package backend

import (
	"errors"
	"fmt"
)

// Refusal is a host's no: something that is missing here, taken, or not ours. Nothing
// has been touched when it comes; the program ends with exit code 3.
type Refusal struct {
	Object string // what cannot be had: "wireguard/wg0"
	Reason string // "an interface of that name exists and is not vpnctl's"
	Cure   string // what the operator does about it: a command where there is one
}

// Refuse builds a Refusal with a formatted reason.
func Refuse(object, cure, format string, args ...any) *Refusal {
	return &Refusal{Object: object, Reason: fmt.Sprintf(format, args...), Cure: cure}
}

func (r *Refusal) Error() string {
	s := r.Object + ": " + r.Reason
	if r.Cure != "" {
		s += "; " + r.Cure
	}
	return s
}

// IsRefusal reports whether err is, or wraps, a Refusal.
func IsRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}
