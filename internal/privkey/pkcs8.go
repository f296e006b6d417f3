package privkey

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // old files are encrypted with it
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of PBKDF2
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash"
)

// maxIterations bounds the work that a file can ask for: openssl asks for 2048, and a
// careful user for some hundred thousand.
const maxIterations = 10_000_000

// Object identifiers of PKCS #5.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// digests are the hashes of PBKDF2 by object identifier; "" is the default.
var digests = map[string]func() hash.Hash{
	"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
	"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
}

// ciphers are those in CBC mode by object identifier.
var ciphers = map[string]struct {
	keySize int
	new     func([]byte) (cipher.Block, error)
}{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

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

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo of RFC 5958 with PBES2 of RFC 8018.
func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	var params pbes2
	if _, err := asn1.Unmarshal(der, &info); err != nil || !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, ErrUnsupported
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, ErrUnsupported
	}
	if len(passphrase) == 0 {
		return nil, ErrEncrypted
	}
	block, err := params.block(passphrase)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != block.BlockSize() ||
		len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, ErrUnsupported
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > block.BlockSize() || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassphrase
	}
	return wellFormed(plain[:len(plain)-pad])
}

// block makes the cipher of a passphrase.
func (p *pbes2) block(passphrase []byte) (cipher.Block, error) {
	var kdf pbkdf2Params
	if _, err := asn1.Unmarshal(p.KDF.Parameters.FullBytes, &kdf); err != nil || !p.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, ErrUnsupported
	}
	digest, known := digests[kdf.PRF.Algorithm.String()]
	c, ok := ciphers[p.Cipher.Algorithm.String()]
	if !known || !ok || kdf.Iterations > maxIterations {
		return nil, ErrUnsupported
	}
	key, err := pbkdf2.Key(digest, string(passphrase), kdf.Salt, kdf.Iterations, c.keySize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return c.new(key)
}
