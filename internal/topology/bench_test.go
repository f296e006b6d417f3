package topology

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// manyPeers writes a topology of a server with n peers, each with a preshared
// key and a network behind it.
func manyPeers(n int) []byte {
	var b strings.Builder
	b.WriteString(head + "wireguard:\n  wg0:\n    listen_port: 51820\n    members:\n      a:\n        addresses: [10.0.0.1/8]\n" +
		"        public_key: " + testKey(1) + "\n        private_key: {file: /etc/vpnctl/wg0.key}\n    peers:\n")
	for i := range n {
		key := wgtypes.Key{9}
		binary.BigEndian.PutUint32(key[1:], uint32(i))
		fmt.Fprintf(&b, "      peer-%d:\n        addresses: [10.%d.%d.2/32]\n        networks: [172.%d.%d.0/24]\n", i, 1+i/256, i%256, 16+i/256, i%256)
		fmt.Fprintf(&b, "        public_key: %s\n        preshared_key: {file: /etc/vpnctl/psk/%d}\n", key, i)
	}
	return []byte(b.String())
}

func BenchmarkParse10000(b *testing.B) {
	src := manyPeers(10000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse("f", src); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode10000 is the part of the YAML library in BenchmarkParse10000.
func BenchmarkDecode10000(b *testing.B) {
	src := manyPeers(10000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readYAML("f", src); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuse10000 is the worst file: hundreds of peers have a network
// that another one has.
func BenchmarkRefuse10000(b *testing.B) {
	src := []byte(strings.ReplaceAll(string(manyPeers(10000)), "172.17.", "172.16."))
	for b.Loop() {
		if _, _, err := Parse("f", src); err == nil {
			b.Fatal("accepted")
		}
	}
}
