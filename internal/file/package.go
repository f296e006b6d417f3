package file

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"

	"github.com/vpnctl/vpnctl/internal/host"
)

// packageStatus is where dpkg keeps what the packages brought.
const packageStatus = "/var/lib/dpkg/status"

// packaged reports whether a file has the content that its package gave it, and so was
// never anybody's.
func packaged(files host.Tree, path string, data []byte) bool {
	status, err := files.Read(packageStatus)
	if err != nil {
		return false // no dpkg here
	}
	sum := md5.Sum(data) // dpkg's choice; it protects nothing here
	return bytes.Contains(status.Data, []byte("\n "+path+" "+hex.EncodeToString(sum[:])+"\n"))
}
