package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecrets looks for keys where they must not be: in arguments, output, and
// in every file of vpnctl's but those made for them.
func TestSecrets(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	k := make(keys)
	text := strings.NewReplacer(
		"private_key: {value: ULgCzX94OpIxbuSfqw57YfoTd+55lkwAEX6BC1PKfWw=}", "private_key: {file: /etc/vpnctl/wg0.key}",
		linux1Key, k.public("linux1"),
		"    listen_port: 51820\n", "    listen_port: 51820\n    preshared_key: {value: "+k.private("psk").String()+"}\n",
	).Replace(example(t, "wireguard-nat.yaml"))
	linux1.WriteFile("/etc/vpnctl/wg0.key", k.private("linux1").String()+"\n", 0o600)
	secrets := map[string]string{
		"private key":   k.private("linux1").String(),
		"preshared key": k.private("psk").String(),
		"key of linux2": "ENv2cywBG2rEVPyucbcGwJVvWms9GeCfhEcQi9SkSEE=",
	}
	linux1.has(text)
	linux2.has(strings.Replace(text, "/etc/vpnctl/wg0.key", "/nowhere", 1))

	watch := watchArguments(linux1)
	var out strings.Builder
	for _, args := range [][]string{
		{"validate", siteFile}, {"diff", siteFile}, {"apply", "-v", siteFile}, {"apply", "-v", siteFile}, {"diff", "-o", "json"},
		{"status"}, {"status", "-o", "json"}, {"render", siteFile, "--node", "linux1"},
	} {
		r := linux1.vpnctl(args...)
		if r.code > 1 {
			t.Errorf("vpnctl %s: %s", strings.Join(args, " "), r)
		}
		out.WriteString(r.String())
	}
	linux2.apply()
	linux1.Ping("10.13.0.202")
	arguments := watch()
	for name, value := range secrets {
		if strings.Contains(out.String(), value) {
			t.Errorf("%s is in the output", name)
		}
		if strings.Contains(arguments, value) {
			t.Errorf("%s is in the arguments of a process", name)
		}
	}
	if !strings.Contains(arguments, "apply") {
		t.Error("the processes were not watched")
	}
	checkSecretFiles(t, linux1, secrets)
}

// watchArguments collects the command lines of a host's processes until the
// returned function is called.
func watchArguments(n *node) (stop func() string) {
	done := make(chan struct{})
	result := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		_ = n.Do(func() error { // it returns nil
			for {
				select {
				case <-done:
					return nil
				default:
				}
				names, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
				for _, name := range names {
					if b, err := os.ReadFile(name); err == nil {
						all.Write(b)
					}
				}
			}
		})
		result <- all.String()
	}()
	return func() string {
		close(done)
		return <-result
	}
}

// checkSecretFiles looks at what vpnctl wrote.
func checkSecretFiles(t *testing.T, n *node, secrets map[string]string) {
	t.Helper()
	files := strings.Fields(n.Run("find", "/var/lib/vpnctl", "/run", "/etc", "-newer", siteFile, "-type", "f"))
	if len(files) == 0 {
		t.Fatal("vpnctl wrote no file")
	}
	for _, name := range files {
		if strings.HasPrefix(name, "/var/lib/vpnctl/secrets/") {
			if mode := n.Run("stat", "-c%a", name); mode != "600\n" {
				t.Errorf("mode of %s is %s", name, mode)
			}
			continue
		}
		content := n.ReadFile(name)
		for secret, value := range secrets {
			if strings.Contains(content, value) {
				t.Errorf("%s is in %s", secret, name)
			}
		}
	}
	if modes := n.Run("stat", "-c%a", "/var/lib/vpnctl", "/var/lib/vpnctl/secrets"); modes != "700\n700\n" {
		t.Errorf("modes of the state folders are %q", modes)
	}
}
