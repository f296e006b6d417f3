package rtnl

import (
	"encoding/binary"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Error is the kernel's no to one request.
type Error struct {
	Request Request
	Errno   unix.Errno
	Reason  string // in the kernel's words, if it gave any
}

func (e *Error) Error() string {
	s := e.Errno.Error()
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Request == nil {
		return s
	}
	return fmt.Sprintf("%s: %s", e.Request, s)
}

// Unwrap gives the errno, which knows fs.ErrExist, fs.ErrPermission and
// errors.ErrUnsupported.
func (e *Error) Unwrap() error { return e.Errno }

// Is makes fs.ErrNotExist of the four codes with which rtnetlink says that there is no
// such link, route, rule or address.
func (e *Error) Is(target error) bool {
	if target != fs.ErrNotExist {
		return false
	}
	switch e.Errno {
	case unix.ENODEV, unix.ESRCH, unix.ENOENT, unix.EADDRNOTAVAIL:
		return true
	}
	return false
}

// The attributes of an extended acknowledgement, as in linux/netlink.h.
const attrMessage = 1

// answer reads what NLMSG_ERROR and NLMSG_DONE tell; nil is success.
func answer(m message) error {
	if len(m.data) < 4 {
		return nil // an old kernel's NLMSG_DONE
	}
	code := int32(binary.NativeEndian.Uint32(m.data))
	if code == 0 {
		return nil
	}
	return &Error{Errno: unix.Errno(-code), Reason: reason(m)}
}

// reason finds the kernel's own words behind the code and the request's header, which
// NETLINK_CAP_ACK leaves as all that is repeated of it.
func reason(m message) string {
	fixed := 4
	if m.typ == unix.NLMSG_ERROR {
		fixed += unix.SizeofNlMsghdr
	}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.data) < fixed {
		return ""
	}
	var s string
	// A malformed remark is no remark; the code counts.
	_ = attributes(m.data, fixed, func(typ uint16, v []byte) {
		if typ == attrMessage {
			s = text(v)
		}
	})
	return s
}
