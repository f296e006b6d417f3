package swanctl

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// Reveal returns the bytes behind an id.
type Reveal func(secret.ID) ([]byte, error)

// Render writes the file that holds all of i: connections, pools and secrets. The same i
// always gives the same text.
func Render(i *desired.IPsec, reveal Reveal) ([]byte, error) {
	root, err := Settings(i, reveal)
	if err != nil {
		return nil, err
	}
	return append([]byte(Header), root.Format()...), nil
}

// Settings returns what Render writes.
func Settings(i *desired.IPsec, reveal Reveal) (*Section, error) {
	root := newBuilder("")
	conns := root.section("connections")
	for k := range i.Connections {
		conns.section(i.Connections[k].Name).connection(&i.Connections[k])
	}
	for k := range i.Bypasses {
		conns.section(i.Bypasses[k].Name).bypass(&i.Bypasses[k])
	}
	pools := root.section("pools")
	for k := range i.Pools {
		pools.section(i.Pools[k].Name).pool(&i.Pools[k])
	}
	secrets := root.section("secrets")
	for k := range i.Secrets {
		s := &i.Secrets[k]
		b := secrets.section(s.Name)
		value, err := reveal(s.Secret)
		if err != nil {
			b.refuse("secret", err)
			continue
		}
		b.secret(s, value)
	}
	maps.DeleteFunc(root.out.Sections, func(_ string, s *Section) bool { return len(s.Sections) == 0 })
	return root.result()
}

// Connection returns the section of a connection.
func Connection(c *desired.Connection) (*Section, error) {
	b := newBuilder(c.Name)
	b.connection(c)
	return b.result()
}

// Bypass returns the section of the connection that keeps traffic local.
func Bypass(p *desired.Bypass) (*Section, error) {
	b := newBuilder(p.Name)
	b.bypass(p)
	return b.result()
}

// Pool returns the section of a pool.
func Pool(p *desired.Pool) (*Section, error) {
	b := newBuilder(p.Name)
	b.pool(p)
	return b.result()
}

// Secret returns the section of a secret.
func Secret(s *desired.CharonSecret, value []byte) (*Section, error) {
	b := newBuilder(s.Name)
	b.secret(s, value)
	return b.result()
}

// builder fills a section. What it refuses is said at the end, all at once.
type builder struct {
	out  *Section
	path string
	errs *[]error // of all sections around this one
}

func newBuilder(name string) *builder {
	b := &builder{out: &Section{}, path: name, errs: new([]error)}
	if name != "" {
		b.checkName(name)
	}
	return b
}

func (b *builder) result() (*Section, error) {
	if err := errors.Join(*b.errs...); err != nil {
		return nil, err
	}
	return b.out, nil
}

func (b *builder) refuse(key string, err error) {
	*b.errs = append(*b.errs, fmt.Errorf("%s: %w", strings.TrimPrefix(b.path+"."+key, "."), err))
}

func (b *builder) checkName(name string) {
	if err := CheckName(name); err != nil {
		*b.errs = append(*b.errs, err)
	}
}

// section opens a section of its own. Two of one name would become one.
func (b *builder) section(name string) *builder {
	b.checkName(name)
	if b.out.Sections[name] != nil {
		b.refuse(name, errors.New("there are two of this name"))
	}
	sub := &builder{out: &Section{}, path: strings.TrimPrefix(b.path+"."+name, "."), errs: b.errs}
	b.out.add(name, sub.out)
	return sub
}

// put sets a key to a value that is known to be legal.
func (b *builder) put(key, value string) {
	if _, ok := b.out.Values[key]; ok {
		b.refuse(key, errors.New("set twice"))
	}
	b.out.set(key, value)
}

// text sets a key to a value, unless that is empty.
func (b *builder) text(key, value string) {
	if value == "" {
		return
	}
	if err := CheckText(value); err != nil {
		b.refuse(key, err)
	}
	b.put(key, value)
}

// list sets a key to a list, unless that is empty.
func (b *builder) list(key string, items []string, check func(string) error) {
	for _, item := range items {
		if err := check(item); err != nil {
			b.refuse(key, err)
		}
	}
	if len(items) > 0 {
		b.put(key, strings.Join(items, ", "))
	}
}

// duration sets a key to a time. charon knows whole seconds.
func (b *builder) duration(key string, d time.Duration) {
	if d < 0 || d%time.Second != 0 {
		b.refuse(key, fmt.Errorf("%s is not in whole seconds", d))
	}
	b.put(key, strconv.FormatInt(int64(d/time.Second), 10)+"s")
}

// settings passes swanctl.conf's other keys on.
func (b *builder) settings(settings []desired.Setting) {
	for _, s := range settings {
		b.checkName(s.Key)
		b.text(s.Key, s.Value)
	}
}

func (b *builder) connection(c *desired.Connection) {
	b.put("version", strconv.Itoa(c.Version))
	b.list("local_addrs", c.LocalAddrs, checkItem)
	b.list("remote_addrs", c.RemoteAddrs, checkItem)
	b.list("proposals", c.Proposals, checkItem)
	b.list("vips", c.VIPs, checkItem)
	b.list("pools", c.Pools, checkItem)
	if c.RekeyTime != nil {
		b.duration("rekey_time", *c.RekeyTime)
	}
	if c.DPDDelay != 0 {
		b.duration("dpd_delay", c.DPDDelay)
	}
	if c.DPDTimeout != 0 {
		b.duration("dpd_timeout", c.DPDTimeout)
	}
	b.settings(c.Settings)
	b.section("local").auth(&c.Local)
	b.section("remote").auth(&c.Remote)
	children := b.section("children")
	for k := range c.Children {
		children.section(c.Children[k].Name).child(&c.Children[k], c.IfID)
	}
}

func (b *builder) auth(a *desired.Auth) {
	b.text("auth", a.Method)
	b.text("id", a.ID)
	b.text("eap_id", a.EAPID)
	b.list("certs", a.Certs, checkFile)
	b.list("cacerts", a.CACerts, checkFile)
	b.list("pubkeys", a.PubKeys, checkFile)
}

// child fills in a child. The id of an XFRM link is said on every one of them, so that no
// policy of the connection is ever without.
func (b *builder) child(c *desired.Child, ifID uint32) {
	b.list("local_ts", c.LocalTS, checkItem)
	b.list("remote_ts", c.RemoteTS, checkItem)
	b.text("mode", c.Mode)
	b.proposals(c)
	if c.RekeyTime != nil {
		b.duration("rekey_time", *c.RekeyTime)
	}
	b.text("start_action", c.Hold)
	b.text("dpd_action", c.DPDAction)
	if ifID != 0 {
		b.put("if_id_in", strconv.FormatUint(uint64(ifID), 10))
		b.put("if_id_out", strconv.FormatUint(uint64(ifID), 10))
	}
	b.settings(c.Settings)
}

// proposals says which protocol a child has. Without any charon takes its default ones for
// ESP, so that AH has to ask for those of AH.
func (b *builder) proposals(c *desired.Child) {
	switch {
	case c.Protocol == "esp":
		b.list("esp_proposals", c.Proposals, checkItem)
	case c.Protocol != "ah":
		b.refuse("protocol", fmt.Errorf("%q is none of esp, ah", c.Protocol))
	case len(c.Proposals) == 0:
		b.put("ah_proposals", "default")
	default:
		b.list("ah_proposals", c.Proposals, checkItem)
	}
}

// nowhere is an address at which no peer is found: with it, a connection that is there for
// its policies alone is never taken for one that somebody dials.
const nowhere = "127.0.0.1"

func (b *builder) bypass(p *desired.Bypass) {
	b.put("local_addrs", nowhere)
	b.put("remote_addrs", nowhere)
	child := b.section("children").section(p.Name)
	child.list("local_ts", p.LocalTS, checkItem)
	child.list("remote_ts", p.LocalTS, checkItem)
	child.put("mode", "pass")
	child.put("start_action", "trap")
}

func (b *builder) pool(p *desired.Pool) {
	b.text("addrs", p.Addrs)
	dns := make([]string, len(p.DNS))
	for k, addr := range p.DNS {
		dns[k] = addr.String()
	}
	b.list("dns", dns, checkItem)
}

// The kinds of secrets: what charon compares, and what opens a file.
var (
	sharedKinds = []string{"eap", "xauth", "ntlm", "ike", "ppk"}
	fileKinds   = []string{"private", "rsa", "ecdsa", "pkcs8"}
)

func (b *builder) secret(s *desired.CharonSecret, value []byte) {
	// swanctl knows the kind by the beginning of the name.
	if kind := kindOf(s.Name); kind == "" || kind != s.Kind {
		b.refuse("secret", fmt.Errorf("the name of a secret for %q has to begin with that", s.Kind))
		return
	}
	if slices.Contains(fileKinds, s.Kind) {
		b.passphrase(s, value)
		return
	}
	if len(value) == 0 || len(value) > maxValue {
		b.refuse("secret", fmt.Errorf("is empty, or longer than %d bytes", maxValue))
	}
	if len(s.Owners) == 0 {
		b.refuse("id", errors.New("bound to nobody, it would be anybody's"))
	}
	b.put("secret", "0s"+base64.StdEncoding.EncodeToString(value))
	width := len(strconv.Itoa(len(s.Owners)))
	for k, owner := range s.Owners {
		key := fmt.Sprintf("id-%0*d", width, k+1)
		if err := CheckOwner(owner); err != nil {
			b.refuse(key, err)
		}
		b.put(key, owner)
	}
}

// passphrase fills in what opens a key. swanctl takes it as it stands: 0s and base64 mean
// themselves here.
func (b *builder) passphrase(s *desired.CharonSecret, value []byte) {
	if err := checkFile(s.File); err != nil {
		b.refuse("file", err)
	}
	if len(value) == 0 || slices.Contains(value, 0) {
		b.refuse("secret", errors.New("a passphrase that is empty or has a NUL byte opens nothing"))
	}
	b.put("file", s.File)
	b.put("secret", string(value))
}

// kindOf is what swanctl takes a section of secrets for, "" for none that it knows.
func kindOf(name string) string {
	for _, kind := range slices.Concat(sharedKinds, fileKinds, []string{"bliss", "pkcs12", "token"}) {
		if strings.HasPrefix(name, kind) {
			return kind
		}
	}
	return ""
}
