package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// maxSize bounds a topology file. Ten thousand peers take 3 MB; what is bigger
// than this is the wrong file.
const maxSize = 32 << 20

// byteOrderMark may begin a file that was written on Windows.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readYAML returns the root of the one document in src, nil and an error that
// says why there is none.
func readYAML(name string, src []byte) (*yaml.Node, *source.Error) {
	src = bytes.TrimPrefix(src, byteOrderMark)
	if err := checkText(name, src); err != nil {
		return nil, err
	}
	return readDocument(name, src)
}

// checkText refuses what is no YAML text. The YAML library would, too, but
// without saying where.
func checkText(name string, src []byte) *source.Error {
	if len(src) > maxSize {
		return whole(name, fmt.Errorf("the file has %d bytes, and %d are allowed", len(src), maxSize))
	}
	line, start := 1, 0
	for i := 0; i < len(src); {
		if src[i] >= ' ' && src[i] < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size <= 1 {
			return at(name, line, 1+utf8.RuneCount(src[start:i]), errors.New("the file is not UTF-8 text"))
		}
		if !printable(r) {
			return at(name, line, 1+utf8.RuneCount(src[start:i]),
				fmt.Errorf("the character %U is not allowed here; in double quotes \\x%02x stands for it", r, r))
		}
		i += size
		if r == '\n' {
			line, start = line+1, i
		}
	}
	return nil
}

// printable says whether YAML 1.1 allows the character unescaped.
func printable(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == 0x85:
		return true
	case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0xfffe && r <= 0xffff, r == 0xfeff:
		return false
	}
	return true
}

func readDocument(name string, src []byte) (root *yaml.Node, problem *source.Error) {
	// The library is known to panic on input that nobody writes by hand.
	defer func() {
		if recover() != nil {
			root, problem = nil, whole(name, errors.New("this is no YAML that can be read"))
		}
	}()
	var doc, next yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(src))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		return nil, whole(name, errors.New("the file is empty; it must hold version, site and nodes at least"))
	case err != nil:
		return nil, syntaxError(name, src, err)
	}
	switch err := dec.Decode(&next); {
	case err == nil:
		return nil, at(name, next.Line, max(1, next.Column), errors.New("a second YAML document begins here, and a topology is one"))
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, src, err)
	}
	return doc.Content[0], nil
}

// yamlLine finds the line in a message of the YAML library.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// noAnchor is what the YAML library says of an alias that leads nowhere.
var noAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)

func syntaxError(name string, src []byte, err error) *source.Error {
	line, what := 1, err.Error()
	if m := noAnchor.FindStringSubmatch(what); m != nil {
		// Most often that is a value without its quotes, and it may be a secret.
		before, _, _ := bytes.Cut(src, []byte("*"+m[1]))
		column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
		return at(name, 1+bytes.Count(before, []byte("\n")), column, errors.New("an alias leads nowhere; a value that begins with * needs quotes"))
	}
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		what = m[2]
	}
	return at(name, line, 1, fmt.Errorf("this is not YAML: %s", oneLine(what)))
}

func whole(name string, err error) *source.Error { return at(name, 1, 1, err) }

func at(name string, line, column int, err error) *source.Error {
	return &source.Error{Pos: Pos{File: name, Line: line, Column: column}, Err: err}
}

// oneLine keeps a message to the one line that each error has.
func oneLine(s string) string {
	return string(bytes.ReplaceAll([]byte(s), []byte("\n"), []byte(" ")))
}
