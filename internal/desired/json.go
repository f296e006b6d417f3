package desired

import (
	"encoding/json"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// keyText is a public key as wg(8) writes it; as wgtypes.Key it would be 32 numbers in
// every journal and history.
type keyText wgtypes.Key

// MarshalText implements encoding.TextMarshaler.
func (k keyText) MarshalText() ([]byte, error) { return []byte(wgtypes.Key(k).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *keyText) UnmarshalText(text []byte) error {
	key, err := wgtypes.ParseKey(string(text))
	*k = keyText(key)
	return err
}

// MarshalJSON implements json.Marshaler.
func (p Peer) MarshalJSON() ([]byte, error) {
	type plain Peer
	return json.Marshal(struct {
		PublicKey keyText `json:"public_key"`
		plain
	}{keyText(p.PublicKey), plain(p)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Peer) UnmarshalJSON(b []byte) error {
	type plain Peer
	v := struct {
		*plain
		PublicKey keyText `json:"public_key"`
	}{plain: (*plain)(p)}
	err := json.Unmarshal(b, &v)
	p.PublicKey = wgtypes.Key(v.PublicKey)
	return err
}

// MarshalJSON implements json.Marshaler.
func (i Interface) MarshalJSON() ([]byte, error) {
	type plain Interface
	return json.Marshal(struct {
		PublicKey keyText `json:"public_key"`
		plain
	}{keyText(i.PublicKey), plain(i)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Interface) UnmarshalJSON(b []byte) error {
	type plain Interface
	v := struct {
		*plain
		PublicKey keyText `json:"public_key"`
	}{plain: (*plain)(i)}
	err := json.Unmarshal(b, &v)
	i.PublicKey = wgtypes.Key(v.PublicKey)
	return err
}
