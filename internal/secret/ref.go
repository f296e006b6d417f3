package secret

import "github.com/vpnctl/vpnctl/internal/topology/source"

// Origin is where a secret comes from: the one key of its mapping.
type Origin string

// The origins of a secret.
const (
	File       Origin = "file"
	Env        Origin = "env"
	Command    Origin = "command"
	Credential Origin = "credential"
	Inline     Origin = "value"
)

// Encoding is how the text of a secret stands for its bytes.
type Encoding string

// The encodings of a secret. Text is taken literally.
const (
	Text   Encoding = "text"
	Hex    Encoding = "hex"
	Base64 Encoding = "base64"
)

// Ref is a topology's reference to a secret.
type Ref struct {
	// Pos is where the mapping stands, for what is said about the secret.
	Pos source.Pos

	Origin Origin
	// Name is the file's path, the variable's or the credential's name.
	Name string
	// Argv is the command; it is run without a shell.
	Argv []string
	// Value is what the topology itself carries.
	Value Value

	// Public marks what anybody may read: certificates and public keys.
	Public bool
	// Encoding is never empty.
	Encoding Encoding
	// Passphrase opens the private key; nil where it has none.
	Passphrase *Ref
}

// String names the secret without its value: "file /etc/x", "env PSK".
func (r *Ref) String() string {
	switch {
	case r == nil:
		return "no secret"
	case r.Origin == Command && len(r.Argv) > 0:
		// The arguments may hold what opens the secret (a token): the
		// program alone says enough.
		return string(r.Origin) + " " + r.Argv[0]
	case r.Name != "":
		return string(r.Origin) + " " + r.Name
	}
	return string(r.Origin)
}
