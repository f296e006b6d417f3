// Package privkey reads private keys of certificates, in all the forms in which openssl
// and strongSwan's pki write them, encrypted or not.
package privkey

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

var (
	// ErrPassphrase means that the passphrase does not open the key.
	ErrPassphrase = errors.New("the passphrase does not fit")
	// ErrEncrypted means that the key is encrypted, and no passphrase was given.
	ErrEncrypted = errors.New("is encrypted")
	// ErrUnsupported means a form, a cipher or a kind of key that is not known here. It
	// may be known to strongSwan.
	ErrUnsupported = errors.New("is in a form that is not known here")
)

// Public is the public key that belongs to a private one, in PEM or DER; the passphrase
// counts where that is encrypted.
func Public(data, passphrase []byte) (crypto.PublicKey, error) {
	der, err := Decrypt(data, passphrase)
	if err != nil {
		return nil, err
	}
	return public(der)
}

// Decrypt is a private key in plain DER, of PKCS #8 or of its kind's own syntax.
func Decrypt(data, passphrase []byte) ([]byte, error) {
	block := keyBlock(data)
	switch {
	case block == nil && bytes.Contains(data, []byte("-----BEGIN")):
		return nil, ErrUnsupported // of openssh, or cut off
	case block == nil:
		if _, err := public(data); err == nil {
			return data, nil
		}
		return decryptPKCS8(data, passphrase)
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return decryptPKCS8(block.Bytes, passphrase)
	//lint:ignore SA1019 the form is weak, and in use
	case !x509.IsEncryptedPEMBlock(block): //nolint:staticcheck // likewise
		return block.Bytes, nil
	case len(passphrase) == 0:
		return nil, ErrEncrypted
	}
	//lint:ignore SA1019 as above
	plain, err := x509.DecryptPEMBlock(block, passphrase) //nolint:staticcheck // likewise
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return wellFormed(plain)
}

// wellFormed tells what a wrong passphrase made, one in 256 times with a padding that
// looks right, from a key that only this program does not know.
func wellFormed(plain []byte) ([]byte, error) {
	var value asn1.RawValue
	if rest, err := asn1.Unmarshal(plain, &value); err != nil || len(rest) > 0 {
		return nil, ErrPassphrase
	}
	return plain, nil
}

// keyBlock is the first block of PEM that holds a private key: openssl puts the
// parameters of a curve ahead of it.
func keyBlock(data []byte) *pem.Block {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil
		}
		switch block.Type {
		case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return block
		}
	}
}

// public reads a plain key in DER, of whatever syntax.
func public(der []byte) (crypto.PublicKey, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			if key, err = x509.ParseECPrivateKey(der); err != nil {
				return nil, ErrUnsupported
			}
		}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, ErrUnsupported
	}
	return signer.Public(), nil
}
