package topology

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
	"gopkg.in/yaml.v3"
)

// SetPublicKeys returns the topology with a public_key for each member that
// lacks one, by network and member. Every other byte stays as it is. A member
// that has that key already is left alone; one that has another is an error,
// and so is a member that the file does not have.
func SetPublicKeys(src []byte, keys map[string]map[string]wgtypes.Key) ([]byte, error) {
	const name = "topology"
	draft, _, err := ParseDraft(name, src)
	if err != nil {
		return nil, err
	}
	root, problem := readYAML(name, src)
	if problem != nil {
		return nil, problem
	}
	t := newText(src)
	for _, network := range slices.Sorted(maps.Keys(keys)) {
		members := lookUp(lookUp(lookUp(root, "wireguard"), network), "members")
		for _, member := range slices.Sorted(maps.Keys(keys[network])) {
			key := keys[network][member]
			have, ok := draft.publicKey(network, member)
			switch {
			case !ok:
				return nil, fmt.Errorf("setting public_key of %s on %s: there is no such member", member, network)
			case have == key:
			case have != wgtypes.Key{}:
				return nil, fmt.Errorf("setting public_key of %s on %s: it has another one already", member, network)
			default:
				t.insertKey(members, member, key)
			}
		}
	}
	out := t.result()
	if err := verifyKeys(name, out, keys); err != nil {
		return nil, err
	}
	return out, nil
}

// verifyKeys reads the result again: YAML has more ways to write a mapping
// than an edit foresees, and the keys may not go together.
func verifyKeys(name string, out []byte, keys map[string]map[string]wgtypes.Key) error {
	result, _, err := ParseDraft(name, out)
	if err != nil {
		return fmt.Errorf("reading the topology with its public keys: %w", err)
	}
	for network, members := range keys {
		for member, key := range members {
			if have, _ := result.publicKey(network, member); have != key {
				return fmt.Errorf("setting public_key of %s on %s: write it into the file by hand: %s", member, network, key)
			}
		}
	}
	return nil
}

func (t *Topology) publicKey(network, member string) (wgtypes.Key, bool) {
	for i := range t.WireGuard {
		if t.WireGuard[i].Name != network {
			continue
		}
		members := t.WireGuard[i].Members
		j, found := slices.BinarySearchFunc(members, member, func(m Member, name string) int {
			return strings.Compare(m.Node, name)
		})
		if found {
			return members[j].PublicKey, true
		}
	}
	return wgtypes.Key{}, false
}

// insertKey writes a key into one member.
func (t *text) insertKey(members *yaml.Node, member string, key wgtypes.Key) {
	for i := 0; i+1 < len(members.Content); i += 2 {
		if members.Content[i].Value != member {
			continue
		}
		line := "public_key: " + key.String()
		switch name, value := members.Content[i], members.Content[i+1]; {
		case value.Kind == yaml.ScalarNode:
			t.fillEmpty(name, value, line)
		case value.Style&yaml.FlowStyle != 0:
			t.insertFlow(value, line)
		default:
			t.insertBlock(name, value, line)
		}
	}
}

// insertFlow writes behind the opening brace.
func (t *text) insertFlow(value *yaml.Node, line string) {
	if i := t.offset(value); i >= 0 && i < len(t.src) && t.src[i] == '{' {
		if len(value.Content) > 0 {
			line += ", "
		}
		t.replace(i+1, i+1, line)
	}
}

// insertBlock writes a line of its own behind the member's name, ahead of the
// comments that belong to its first key.
func (t *text) insertBlock(name, value *yaml.Node, line string) {
	i := t.keyEnd(name)
	if i < 0 {
		return
	}
	end, br := t.lineEnd(i)
	t.replace(end, end, br+strings.Repeat(" ", value.Column-1)+line)
}

// fillEmpty gives a member that has nothing a mapping, in place of a null that
// is written out.
func (t *text) fillEmpty(name, value *yaml.Node, line string) {
	if value.Value != "" {
		if i := t.offset(value); i >= 0 {
			t.replace(i, i+len(value.Value), "{"+line+"}")
		}
		return
	}
	if i := t.keyEnd(name); i >= 0 {
		t.replace(i, i, " {"+line+"}")
	}
}

// keyEnd returns the offset behind a key and its colon, -1 where they do not
// stand together.
func (t *text) keyEnd(key *yaml.Node) int {
	i := t.offset(key)
	if i < 0 {
		return -1
	}
	if i = t.scalarEnd(key, i, 0); i < 0 {
		return -1
	}
	rest := bytes.TrimLeft(t.src[i:], " \t")
	if len(rest) == 0 || rest[0] != ':' {
		return -1
	}
	return len(t.src) - len(rest) + 1
}
