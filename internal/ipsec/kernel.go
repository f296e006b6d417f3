package ipsec

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Kernel tells what this host's kernel can do, without doing it here.
type Kernel interface {
	// ESP reports whether it encrypts. Where it does not, charon can.
	ESP() bool
	// Links reports whether it has links of kind xfrm.
	Links() bool
	// Tun reports whether there is /dev/net/tun, which charon needs to encrypt itself.
	Tun() bool
}

// live is the Kernel of the real host. What it finds does not change while it runs.
type live struct {
	esp, links func() bool
}

func newLive() *live {
	return &live{esp: sync.OnceValue(probeESP), links: sync.OnceValue(probeLinks)}
}

func (l *live) ESP() bool   { return l.esp() }
func (l *live) Links() bool { return l.links() }
func (l *live) Tun() bool   { return unix.Access("/dev/net/tun", unix.W_OK) == nil }

// elsewhere runs fn in a fresh network namespace, which ends with it: what is tried there
// is nowhere else. Where this process may make none, fn does not run.
func elsewhere(fn func()) {
	_ = rtnl.OnThread(func() error {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			fn()
		}
		return err
	})
}

// probeLinks tries a link. One that cannot be tried is left to the apply.
func probeLinks() bool {
	ok := true
	elsewhere(func() {
		c, err := rtnl.Open("")
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		err = c.Do(rtnl.AddLink{Name: "probe", Kind: "xfrm", IfID: 1})
		ok = !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, errors.ErrUnsupported)
	})
	return ok
}

// probeESP tries an SA. Only a kernel that does not know the protocol has none: of any
// other answer, charon has more to say.
func probeESP() bool {
	ok := true
	elsewhere(func() {
		c, err := netlink.Dial(unix.NETLINK_XFRM, nil)
		if err == nil {
			defer func() { _ = c.Close() }()
			_, err = c.Execute(netlink.Message{
				Header: netlink.Header{Type: msgNewSA, Flags: netlink.Request | netlink.Acknowledge}, Data: newSA(),
			})
		}
		ok = !errors.Is(err, unix.EPROTONOSUPPORT)
	})
	return ok
}

// XFRM_MSG_NEWSA, XFRMA_ALG_AUTH and XFRMA_ALG_CRYPT of linux/xfrm.h.
const (
	msgNewSA  = 0x10
	attrAuth  = 1
	attrCrypt = 2
)

// The layout of struct xfrm_usersa_info (linux/xfrm.h), as far as it is not zero here, and
// of the struct xfrm_algo that follows in attributes.
const (
	saSize     = 224
	saDaddr    = 56
	saSPI      = 72
	saProto    = 76
	saSaddr    = 80
	saLimits   = 96 // four of them, of no limit
	saFamily   = 212
	saMode     = 214
	algoName   = 64
	algoHeader = algoName + 4
	modeTunnel = 1
)

// newSA is the request for an SA of ESP between two addresses of the loopback.
func newSA() []byte {
	b := make([]byte, saSize)
	copy(b[saDaddr:], []byte{127, 0, 0, 1})
	copy(b[saSaddr:], []byte{127, 0, 0, 2})
	binary.BigEndian.PutUint32(b[saSPI:], 0x1000)
	b[saProto] = unix.IPPROTO_ESP
	for i := range 4 {
		binary.NativeEndian.PutUint64(b[saLimits+8*i:], ^uint64(0))
	}
	binary.NativeEndian.PutUint16(b[saFamily:], unix.AF_INET)
	b[saMode] = modeTunnel
	e := netlink.NewAttributeEncoder()
	e.Bytes(attrCrypt, algo("cbc(aes)", 16))
	e.Bytes(attrAuth, algo("hmac(sha1)", 20))
	attrs, err := e.Encode()
	if err != nil {
		panic(err) // of two short attributes
	}
	return append(b, attrs...)
}

func algo(name string, key int) []byte {
	b := make([]byte, algoHeader+key)
	copy(b, name)
	binary.NativeEndian.PutUint32(b[algoName:], uint32(8*key))
	return b
}
