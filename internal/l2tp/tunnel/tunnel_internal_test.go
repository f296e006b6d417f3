package tunnel

import (
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"
)

func TestParse(t *testing.T) {
	e := netlink.NewAttributeEncoder()
	e.Uint16(2, 0)
	e.Uint32(attrID, 39754)
	e.Uint32(10, 17303)
	e.Bytes(attrSaddr, []byte{10, 13, 0, 101})
	e.Bytes(attrDaddr, []byte{10, 13, 0, 105})
	e.Uint16(attrSport, 1701)
	e.Uint16(attrDport, 40001)
	data, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := Tunnel{ID: 39754, Local: netip.MustParseAddrPort("10.13.0.101:1701"), Remote: netip.MustParseAddrPort("10.13.0.105:40001")}
	if got, err := parse(data); got != want || err != nil {
		t.Errorf("parse gives %+v, %v", got, err)
	}
	if _, err := parse(data[:len(data)-3]); err == nil {
		t.Error("half an attribute is read")
	}
}

// Also on a kernel that has no L2TP.
func TestList(t *testing.T) {
	if all, err := List(); err != nil {
		t.Errorf("listing tunnels: %v, %v", all, err)
	}
}
