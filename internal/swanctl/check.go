package swanctl

import (
	"fmt"
	"strings"
)

// The longest texts that strongSwan takes; longer ones it cuts without a word.
const (
	maxName  = 100 // of a section: the path of a child has to fit into 255 bytes
	maxText  = 511
	maxOwner = 255
	maxValue = 1<<16 - 1 // of anything on the socket
)

// CheckName refuses what cannot be the name of a section in both file and socket.
func CheckName(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
		return fmt.Errorf("%q is no name for charon: use letters, digits, _ and -", name)
	}
	if len(name) > maxName {
		return fmt.Errorf("name %s… is longer than %d bytes", name[:20], maxName)
	}
	return nil
}

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// CheckText refuses what charon does not take as a value: it wants printable ASCII.
func CheckText(text string) error { return checkText(text, maxText) }

// CheckOwner refuses what cannot be an id to which a secret is bound.
func CheckOwner(id string) error { return checkText(id, maxOwner) }

func checkText(text string, limit int) error {
	if text == "" {
		return fmt.Errorf("empty")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%q: charon takes printable ASCII only", text)
	}
	if len(text) > limit {
		return fmt.Errorf("%q… is longer than %d bytes", text[:20], limit)
	}
	return nil
}

// checkItem refuses what cannot stand in a list.
func checkItem(item string) error {
	if err := CheckText(item); err != nil {
		return err
	}
	if strings.Contains(item, ",") || strings.TrimSpace(item) != item || strings.ContainsAny(item[:1], `"'`) {
		return fmt.Errorf("%q: no comma, outer space or quote can stand in a list", item)
	}
	return nil
}

// checkFile refuses what swanctl would not take for the name of a file in its folder.
func checkFile(name string) error {
	if err := checkItem(name); err != nil {
		return err
	}
	if prefix := strings.ToLower(name[:min(2, len(name))]); strings.Contains(name, "/") || prefix == "0x" || prefix == "0s" {
		return fmt.Errorf("%q is no file name for swanctl", name)
	}
	return nil
}
