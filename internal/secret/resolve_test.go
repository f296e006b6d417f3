package secret

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hush is the secret of these tests; no error may hold it or a part of it.
const hush = "tr0ub4dor-and-3"

func write(t *testing.T, path, data string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// environ is a Getenv over a map.
func environ(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"plain": hush, "lf": hush + "\n", "crlf": hush + "\r\n", "two": hush + "\n\n", "cr": hush + "\r",
		"inner": " a\r\nb \n", "hex": "00ff10\n", "base64": "AP8Q\r\n",
	} {
		write(t, filepath.Join(dir, name), data, 0o600)
	}
	write(t, filepath.Join(dir, "cert"), "PEM\n", 0o644)
	write(t, filepath.Join(dir, "credential"), hush+"\n", 0o440)
	tests := []struct {
		name string
		ref  Ref
		want string
	}{
		{"file", Ref{Origin: File, Name: "plain"}, hush},
		{"absolute path", Ref{Origin: File, Name: filepath.Join(dir, "plain")}, hush},
		{"line end", Ref{Origin: File, Name: "lf"}, hush},
		{"line end of Windows", Ref{Origin: File, Name: "crlf"}, hush},
		{"only one line end", Ref{Origin: File, Name: "two"}, hush + "\n"},
		{"carriage return alone", Ref{Origin: File, Name: "cr"}, hush + "\r"},
		{"blanks and inner line ends", Ref{Origin: File, Name: "inner"}, " a\r\nb "},
		{"open certificate", Ref{Origin: File, Name: "cert", Public: true}, "PEM"},
		{"hex", Ref{Origin: File, Name: "hex", Encoding: Hex}, "\x00\xff\x10"},
		{"base64", Ref{Origin: File, Name: "base64", Encoding: Base64}, "\x00\xff\x10"},
		{"env, literally", Ref{Origin: Env, Name: "PSK"}, hush + "\n"},
		{"credential", Ref{Origin: Credential, Name: "credential"}, hush},
		{"command", Ref{Origin: Command, Argv: []string{"printf", "%s\n", hush}}, hush},
		{"command without a shell", Ref{Origin: Command, Argv: []string{"echo", "$HOME;", "*"}}, "$HOME; *"},
		{"command in the topology's folder", Ref{Origin: Command, Argv: []string{"cat", "plain"}}, hush},
		{"value", Ref{Origin: Inline, Value: New([]byte(hush + "\n"))}, hush + "\n"},
		{"value in hex", Ref{Origin: Inline, Value: New([]byte("FF")), Encoding: Hex}, "\xff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Resolver{Dir: dir, Getenv: environ(map[string]string{"PSK": hush + "\n", credentialsEnv: dir})}
			got, err := r.Resolve(t.Context(), &tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Reveal()) != tt.want {
				t.Errorf("got %q, want %q", got.Reveal(), tt.want)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("group"), hush, 0o640)
	write(t, at("others"), hush, 0o604)
	write(t, at("empty"), "\n", 0o600)
	write(t, at("large"), hush+strings.Repeat("x", maxSize), 0o600)
	write(t, at("text"), hush, 0o600)
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		ref  Ref
		want string
	}{
		{"group may read", Ref{Origin: File, Name: "group"},
			"file DIR/group: has mode 0640, so that others than its owner may read it; chmod 600 DIR/group"},
		{"others may read", Ref{Origin: File, Name: "others"},
			"file DIR/others: has mode 0604, so that others than its owner may read it; chmod 600 DIR/others"},
		{"missing file", Ref{Origin: File, Name: "none"},
			"file DIR/none: file does not exist; create it with mode 0600, or correct the path"},
		{"folder", Ref{Origin: File, Name: "."}, "file DIR: is no regular file"},
		{"pipe", Ref{Origin: File, Name: "pipe"}, "file DIR/pipe: is no regular file"},
		{"below a file", Ref{Origin: File, Name: "text/key"}, "file DIR/text/key: not a directory"},
		{"empty file", Ref{Origin: File, Name: "empty"}, "file DIR/empty: is empty"},
		{"large file", Ref{Origin: File, Name: "large"}, "file DIR/large: is larger than 1048576 bytes"},
		{"not hex", Ref{Origin: File, Name: "text", Encoding: Hex},
			"file DIR/text: is not hex: use an even number of the digits 0-9 and a-f"},
		{"not base64", Ref{Origin: File, Name: "text", Encoding: Base64},
			"file DIR/text: is not base64, as base64(1) prints it with -w0"},
		{"inline not base64", Ref{Origin: Inline, Value: New([]byte(hush)), Encoding: Base64},
			"value: is not base64, as base64(1) prints it with -w0"},
		{"variable not set", Ref{Origin: Env, Name: "NONE"}, "env NONE: is not set in the environment"},
		{"variable empty", Ref{Origin: Env, Name: "EMPTY"}, "env EMPTY: is empty"},
		{"missing credential", Ref{Origin: Credential, Name: "none"},
			"credential none: file does not exist; run vpnctl in a unit with LoadCredential=none"},
		{"credential elsewhere", Ref{Origin: Credential, Name: "../etc/passwd"},
			"credential ../etc/passwd: is no name of a credential"},
		{"command fails", Ref{Origin: Command, Argv: []string{"sh", "-c", "echo " + hush + "; echo " + hush + " >&2; exit 3"}},
			"command sh: exit status 3"},
		{"command dies", Ref{Origin: Command, Argv: []string{"sh", "-c", "kill -9 $$", hush}}, "command sh: signal: killed"},
		{"command is missing", Ref{Origin: Command, Argv: []string{"vpnctl-none", hush}},
			"command vpnctl-none: no such program: file does not exist"},
		{"command path is missing", Ref{Origin: Command, Argv: []string{"./none", hush}},
			"command ./none: no such program: file does not exist"},
		{"command says nothing", Ref{Origin: Command, Argv: []string{"true", hush}}, "command true: is empty"},
		{"command says too much", Ref{Origin: Command, Argv: []string{"cat", "/dev/zero"}},
			"command cat: is larger than 1048576 bytes"},
		{"command hangs", Ref{Origin: Command, Argv: []string{"sleep", "600"}}, "command sleep: no answer within 300ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Resolver{Dir: dir, Getenv: environ(map[string]string{"EMPTY": "", credentialsEnv: dir})}
			if tt.name == "command hangs" {
				r.timeout = 300 * time.Millisecond
			}
			v, err := r.Resolve(t.Context(), &tt.ref)
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(err.Error(), hush) || !v.IsZero() {
				t.Error("the secret is told")
			}
		})
	}
}

func TestResolveTellsWhatIsMissing(t *testing.T) {
	r := &Resolver{Dir: t.TempDir()}
	for _, ref := range []Ref{{Origin: File, Name: "none"}, {Origin: Command, Argv: []string{"vpnctl-none"}}} {
		if _, err := r.Resolve(t.Context(), &ref); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", ref.String(), err)
		}
	}
}

func TestResolveNeedsCredentials(t *testing.T) {
	r := &Resolver{Getenv: environ(nil)}
	_, err := r.Resolve(t.Context(), &Ref{Origin: Credential, Name: "psk"})
	const want = "credential psk: CREDENTIALS_DIRECTORY is not set; run vpnctl in a unit with LoadCredential=psk"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestResolveAsksOnce counts how often a command ran by what it leaves behind.
func TestResolveAsksOnce(t *testing.T) {
	for _, status := range []string{"0", "1"} {
		r := &Resolver{Dir: t.TempDir()}
		argv := []string{"sh", "-c", "echo ran >>log; echo secret; exit " + status}
		for range 3 {
			// As two tunnels would have it: equal refs, not one.
			_, err := r.Resolve(t.Context(), &Ref{Origin: Command, Argv: argv})
			if (err == nil) != (status == "0") {
				t.Fatal(err)
			}
		}
		log, err := os.ReadFile(filepath.Join(r.Dir, "log"))
		if err != nil || string(log) != "ran\n" {
			t.Errorf("exit %s: log %q, %v; want one run", status, log, err)
		}
	}
}

// TestResolveKeepsNoCancelledAnswer: what the caller cut off is asked again.
func TestResolveKeepsNoCancelledAnswer(t *testing.T) {
	r := &Resolver{}
	ref := &Ref{Origin: Command, Argv: []string{"echo", hush}}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Resolve(cancelled, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if v, err := r.Resolve(t.Context(), ref); err != nil || string(v.Reveal()) != hush {
		t.Errorf("got %v after a cancelled run", err)
	}
}

// TestResolveSeparatesPublicFromPrivate: that a file was read as a certificate does not
// make it fit for a key.
func TestResolveSeparatesPublicFromPrivate(t *testing.T) {
	r := &Resolver{Dir: t.TempDir()}
	write(t, filepath.Join(r.Dir, "both"), hush, 0o644)
	if _, err := r.Resolve(t.Context(), &Ref{Origin: File, Name: "both", Public: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), &Ref{Origin: File, Name: "both"}); err == nil {
		t.Error("an open key was taken")
	}
}
