package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

var errTooLarge = fmt.Errorf("is larger than %d bytes", maxSize)

// othersRead are the permission bits that let somebody else than the owner read.
const othersRead fs.FileMode = 0o044

// readFile reads a whole file. One that is not public must be its owner's alone to read;
// that is asked of the open file, which nobody can exchange any more.
func readFile(path string, public bool) ([]byte, error) {
	// A pipe without a writer would block the open.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	case !public && info.Mode()&othersRead != 0:
		return nil, fmt.Errorf("has mode %04o, so that others than its owner may read it; chmod 600 %s", info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, cause(err)
	case len(data) > maxSize:
		return nil, errTooLarge
	}
	return data, nil
}

// openError adds the cure to what an open says.
func openError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; create it with mode 0600, or correct the path", fs.ErrNotExist)
	}
	return cause(err)
}

// cause is an error of package os without the path, which the caller has named.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// trimLineEnd takes one line end off the very end: editors and `echo` put it there.
func trimLineEnd(b []byte) []byte {
	if rest, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return b
}

// decode turns the text of a secret into its bytes. The decoders' own errors are
// dropped: they quote what they could not read.
func decode(e Encoding, text []byte) ([]byte, error) {
	switch e {
	case Hex:
		b, err := hex.DecodeString(string(text))
		if err != nil {
			return nil, errors.New("is not hex: use an even number of the digits 0-9 and a-f")
		}
		return b, nil
	case Base64:
		b, err := base64.StdEncoding.Strict().DecodeString(string(text))
		if err != nil {
			return nil, errors.New("is not base64, as base64(1) prints it with -w0")
		}
		return b, nil
	}
	return text, nil
}
