package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// placeholder is all that any printer ever gets to see of a Value.
const placeholder = "(secret)"

// Value is a secret in memory. It cannot print itself: whatever the verb or
// the encoder, the answer is "(secret)". Reveal is the only way out.
//
// The bytes sit behind a function because package fmt calls no methods on
// unexported fields: it would walk into a plain field of a struct that holds a
// Value and print it. Nothing walks into a function.
type Value struct {
	reveal func() []byte
}

// New returns the Value of b, which it copies.
func New(b []byte) Value {
	if len(b) == 0 {
		return Value{}
	}
	held := append([]byte(nil), b...)
	return Value{reveal: func() []byte { return held }}
}

// Reveal returns a copy of the secret's bytes.
func (v Value) Reveal() []byte { return append([]byte(nil), v.bytes()...) }

// Len returns the number of bytes of the secret.
func (v Value) Len() int { return len(v.bytes()) }

// IsZero says whether there is no secret, or an empty one.
func (v Value) IsZero() bool { return v.reveal == nil }

// Equal says whether both are the same secret, in time that depends on their
// length only.
func (v Value) Equal(w Value) bool { return subtle.ConstantTimeCompare(v.bytes(), w.bytes()) == 1 }

// String returns the placeholder.
func (v Value) String() string { return placeholder }

// GoString returns the placeholder.
func (v Value) GoString() string { return placeholder }

// Format writes the placeholder for every verb, %x and %d included, which
// would not ask String.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, placeholder) }

// MarshalText returns the placeholder.
func (v Value) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// MarshalJSON returns the placeholder.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// MarshalYAML returns the placeholder.
func (v Value) MarshalYAML() (any, error) { return placeholder, nil }

// LogValue returns the placeholder.
func (v Value) LogValue() slog.Value { return slog.StringValue(placeholder) }

func (v Value) bytes() []byte {
	if v.reveal == nil {
		return nil
	}
	return v.reveal()
}
