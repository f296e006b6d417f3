package ipsec

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // old files are encrypted with it
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of PBKDF2
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// publicOf is the public key of a private one in DER, of whatever syntax.
func publicOf(der []byte) (crypto.PublicKey, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			if key, err = x509.ParseECPrivateKey(der); err != nil {
				return nil, errors.New("no private key that can be read")
			}
		}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("no key that signs")
	}
	return signer.Public(), nil
}

// decryptKey takes the passphrase off a private key: swanctl does it itself when it reads
// the file, while vici takes plain keys only.
func decryptKey(data, passphrase []byte) ([]byte, error) {
	block, _ := pem.Decode(data)
	der := data
	if block != nil {
		der = block.Bytes
	}
	//lint:ignore SA1019 weak, and what openssl writes for "BEGIN RSA PRIVATE KEY"
	if block != nil && x509.IsEncryptedPEMBlock(block) {
		//lint:ignore SA1019 see above
		plain, err := x509.DecryptPEMBlock(block, passphrase)
		if err != nil {
			return nil, errPassphrase
		}
		return plain, nil
	}
	return decryptPKCS8(der, passphrase)
}

// errPassphrase does not tell what was tried.
var errPassphrase = errors.New("decrypting private key: the passphrase does not fit")

// Object identifiers of PKCS #5 and its ciphers.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oid3DES       = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
)

type pbes2 struct {
	KDF    pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// decryptPKCS8 decrypts "BEGIN ENCRYPTED PRIVATE KEY", RFC 5958 with PBES2 of RFC 8018.
func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, errors.New("decrypting private key: it is in no form that is known here")
	}
	var params pbes2
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("decrypting private key: encryption %s is not supported", info.Algorithm.Algorithm)
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, fmt.Errorf("decrypting private key: reading parameters: %w", err)
	}
	block, err := params.block(passphrase)
	if err != nil {
		return nil, fmt.Errorf("decrypting private key: %w", err)
	}
	var iv []byte
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil ||
		len(iv) != block.BlockSize() || len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, errors.New("decrypting private key: it is cut off")
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > block.BlockSize() || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errPassphrase
	}
	plain = plain[:len(plain)-pad]
	if _, err := publicOf(plain); err != nil {
		return nil, errPassphrase
	}
	return plain, nil
}

// block makes the cipher of a passphrase.
func (p *pbes2) block(passphrase []byte) (cipher.Block, error) {
	var kdf pbkdf2Params
	if !p.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("key derivation %s is not supported", p.KDF.Algorithm)
	}
	if _, err := asn1.Unmarshal(p.KDF.Parameters.FullBytes, &kdf); err != nil {
		return nil, fmt.Errorf("reading parameters: %w", err)
	}
	digest := sha1.New
	switch {
	case kdf.PRF.Algorithm.Equal(oidHMACSHA256):
		digest = sha256.New
	case kdf.PRF.Algorithm.Equal(oidHMACSHA384):
		digest = sha512.New384
	case kdf.PRF.Algorithm.Equal(oidHMACSHA512):
		digest = sha512.New
	}
	derive := func(h func() hash.Hash, size int) ([]byte, error) {
		return pbkdf2.Key(h, string(passphrase), kdf.Salt, kdf.Iterations, size)
	}
	sizes := map[string]int{oidAES128.String(): 16, oidAES192.String(): 24, oidAES256.String(): 32, oid3DES.String(): 24}
	size, ok := sizes[p.Cipher.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("cipher %s is not supported", p.Cipher.Algorithm)
	}
	key, err := derive(digest, size)
	if err != nil {
		return nil, err
	}
	if p.Cipher.Algorithm.Equal(oid3DES) {
		return des.NewTripleDESCipher(key) //nolint:gosec // see the import
	}
	return aes.NewCipher(key)
}
