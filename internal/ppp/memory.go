package ppp

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
)

// pppd keeps what its hooks are told of each session in a small database of its own, of
// Samba's kind (tdb). It so also tells of a session that began before vpnctl's hook was
// there.
const databasePath = "/run/pppd2.tdb"

// The head of an entry: next, size, sizes of key and data, hash, and what marks it as one.
const (
	entryHead  = 24
	entryMagic = 0x26011999
)

// memories are what pppds remember of themselves, by process. One that is gone may still
// be in there.
func memories() map[int]record {
	data, err := os.ReadFile(databasePath)
	if err != nil {
		return nil
	}
	return parseDatabase(data)
}

// parseDatabase looks for entries wherever they are: who writes the file meanwhile can spoil
// one, and not the others.
func parseDatabase(data []byte) map[int]record {
	out := map[int]record{}
	for at := 0; at+entryHead <= len(data); at += 4 {
		field := func(n int) int { return int(binary.NativeEndian.Uint32(data[at+4*n:])) }
		if field(5) != entryMagic {
			continue
		}
		key, size, body := field(2), field(3), at+entryHead
		if key > len(data)-body || size > len(data)-body-key {
			continue
		}
		name, ours := strings.CutPrefix(string(data[body:body+key]), program)
		if pid, err := strconv.Atoi(strings.TrimRight(name, "\x00")); ours && err == nil {
			text := strings.TrimRight(string(data[body+key:body+key+size]), "\x00")
			out[pid] = parseRecord(strings.ReplaceAll(text, ";", "\n"))
		}
	}
	return out
}
