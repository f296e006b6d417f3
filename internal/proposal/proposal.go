// Package proposal knows strongSwan's words for IKE, ESP and AH proposals.
package proposal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/topology/spelling"
)

// Protocol is what a proposal is for.
type Protocol string

// The protocols that proposals are made for.
const (
	IKE Protocol = "ike"
	ESP Protocol = "esp"
	AH  Protocol = "ah"
)

// Default is the proposal that stands for charon's own list.
const Default = "default"

// Proposal is a set of algorithms of which both sides pick.
type Proposal struct {
	protocol Protocol
	words    map[kind][]string
}

// Parse reads a proposal such as aes128-sha256-modp2048 and refuses what
// charon would refuse.
func Parse(protocol Protocol, text string) (Proposal, error) {
	p := Proposal{protocol: protocol, words: make(map[kind][]string)}
	if text == Default {
		return p, nil
	}
	for word := range strings.SplitSeq(text, "-") {
		if err := p.add(word); err != nil {
			return Proposal{}, err
		}
	}
	if err := p.check(); err != nil {
		return Proposal{}, err
	}
	return p, nil
}

func (p *Proposal) add(word string) error {
	if name, ok := additional(word); ok {
		// It does not count as the first key exchange, which stays required.
		if k, known := keywords[name]; !known || k != group {
			return unknown(word)
		}
		return nil
	}
	k, known := keywords[word]
	if !known {
		return unknown(word)
	}
	p.words[k] = append(p.words[k], word)
	return nil
}

// additional takes the prefix from ke1_mlkem768: a further key exchange.
func additional(word string) (string, bool) {
	if len(word) > 4 && strings.HasPrefix(word, "ke") && word[2] >= '1' && word[2] <= '7' && word[3] == '_' {
		return word[4:], true
	}
	return "", false
}

func unknown(word string) error {
	if word == "" {
		return errors.New("there is an empty word in it; words are joined by single dashes")
	}
	if near := spelling.Nearest(word, slices.Sorted(maps.Keys(keywords))); near != "" {
		return fmt.Errorf("%q is no algorithm of strongSwan (did you mean %q?)", word, near)
	}
	return fmt.Errorf("%q is no algorithm of strongSwan", word)
}

// check asks what charon asks before it takes a proposal. What it drops
// silently (a PRF for ESP, a cipher for AH) it does not refuse, nor do we.
func (p *Proposal) check() error {
	if p.protocol == AH {
		if !p.signs() {
			return errors.New("it has no integrity algorithm, and AH needs one, such as sha256")
		}
		return nil
	}
	if len(p.words[encryption])+len(p.words[aead]) == 0 {
		return errors.New("it has no encryption algorithm, such as aes128")
	}
	if len(p.words[encryption]) > 0 && len(p.words[aead]) > 0 {
		return fmt.Errorf("%s checks integrity itself and %s does not; put them into two proposals",
			p.words[aead][0], p.words[encryption][0])
	}
	if p.protocol == ESP {
		return nil
	}
	return p.checkIKE()
}

func (p *Proposal) checkIKE() error {
	if len(p.words[aead]) == 0 && len(p.words[integrity]) == 0 {
		return errors.New("it has no integrity algorithm, such as sha256")
	}
	if !p.derives() {
		return errors.New("it has no pseudo-random function, such as prfsha256")
	}
	if !slices.ContainsFunc(p.words[group], func(g string) bool { return g != "none" && g != "modpnone" }) {
		return errors.New("it has no key exchange group, such as modp2048 or x25519")
	}
	return nil
}

// signs says whether there is integrity in the sense of AH, for which GMAC is
// one more such algorithm.
func (p *Proposal) signs() bool {
	return len(p.words[integrity]) > 0 ||
		slices.ContainsFunc(p.words[aead], func(w string) bool { return strings.HasSuffix(w, "gmac") })
}

// derives says whether charon finds a pseudo-random function: a named one, or
// that of a signer.
func (p *Proposal) derives() bool {
	if len(p.words[prf]) > 0 {
		return true
	}
	without := strings.Fields(noFunction)
	return slices.ContainsFunc(p.words[integrity], func(w string) bool { return !slices.Contains(without, w) })
}

// Weak returns what is weak in the proposal, nothing where all is well. Each
// reason appears once.
func (p *Proposal) Weak() []string {
	var reasons []string
	for k := encryption; k <= sequence; k++ {
		if k == encryption && p.protocol == AH {
			continue
		}
		for _, word := range p.words[k] {
			why, weak := weaknesses[word]
			if weak && !slices.Contains(reasons, why) && !p.harmless(word) {
				reasons = append(reasons, why)
			}
		}
	}
	if p.protocol == ESP && len(p.words[encryption]) > 0 && len(p.words[integrity]) == 0 {
		// charon takes it, and the kernel then decrypts whatever comes.
		reasons = append(reasons, "without an integrity algorithm anybody can alter packets")
	}
	return reasons
}

// harmless says whether a weak word does no harm for this protocol: AH never
// encrypts, so GMAC is as good as any.
func (p *Proposal) harmless(word string) bool {
	return p.protocol == AH && strings.HasSuffix(word, "gmac")
}

// Stripped returns words that IKEv1 ignores: of each kind it can negotiate one
// in a proposal, the first.
func (p *Proposal) Stripped() []string {
	var surplus []string
	for k := encryption; k <= sequence; k++ {
		if words := p.words[k]; len(words) > 1 {
			surplus = append(surplus, words[1:]...)
		}
	}
	return surplus
}
