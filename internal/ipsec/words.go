package ipsec

import (
	"cmp"
	"regexp"
	"strings"
)

// Words turns what charon says while it negotiates into the reason that an operator
// reads. Of several the last one that says more counts: a refusal follows what led to it.
type Words struct {
	// IKE and Child are what this side offers, for a refusal that does not tell it.
	IKE   []string
	Child []string

	reason   string
	rank     int
	received string // proposals of the peer, as a responder hears them
	offered  string // and those of this side
}

// phrase is a piece of what charon says, and what it means. Those of a higher rank are the
// cause of those of a lower one.
type phrase struct {
	pattern *regexp.Regexp
	rank    int
	text    string // with the pattern's groups
}

// phrases are charon's words, of 5.9 and 6.0. They are no interface, so a test in the
// machine hears each of them from a real one.
var phrases = []phrase{
	{regexp.MustCompile(`certificate (?:invalid|expired: .*) \(valid from (.+) to (.+)\)`), 5, "certificate expired or not yet valid (from $1 to $2)"},
	{regexp.MustCompile(`no issuer certificate found for "(.+)"`), 4, "the peer's certificate is not from our CA (issuer of $1 is unknown)"},
	{regexp.MustCompile(`no trusted \S+ public key found for '(.+)'`), 3, "authentication failed: no trusted certificate or key for $1"},
	{regexp.MustCompile(`no private key found for '(.+)'`), 4, "authentication failed: no private key here for $1"},
	{regexp.MustCompile(`no shared key found for '(.+?)'(?:\[.*\])? - '(.+?)'`), 4, "authentication failed: no PSK here for $1 and $2"},
	{regexp.MustCompile(`tried \d+ shared keys? for '(.+)' - '(.+)', but MAC mismatched`), 4, "authentication failed: the PSK of $2 is another one"},
	{regexp.MustCompile(`calculated HASH does not match HASH payload`), 4, "authentication failed: the peer's PSK is another one"},
	{regexp.MustCompile(`IDir '(.+)' does not match to '(.+)'`), 4, "authentication failed: the peer is $1, not $2"},
	{regexp.MustCompile(`EAP-MS-CHAPv2 failed with error (\w+)`), 4, "authentication failed: user name or password is wrong ($1)"},
	{regexp.MustCompile(`received EAP_FAILURE`), 3, "authentication failed: the server refuses user name or password"},
	{regexp.MustCompile(`constraint checking failed|constraint requires`), 3, "authentication failed: the peer authenticates in another way than asked for"},
	{regexp.MustCompile(`received AUTHENTICATION_FAILED`), 2, "authentication failed: the peer refuses our id, key or PSK (AUTHENTICATION_FAILED)"},
	{regexp.MustCompile(`received NO_PROPOSAL_CHOSEN notify, no CHILD_SA`), 2, noChildProposal},
	{regexp.MustCompile(`received NO_PROPOSAL_CHOSEN`), 2, noIKEProposal},
	{regexp.MustCompile(`no acceptable proposal found|received proposals unacceptable`), 2, noIKEProposal},
	{regexp.MustCompile(`(?:received )?TS_UNACCEPTABLE|received INVALID_ID_INFORMATION|traffic selectors .* unacceptable`), 2, "traffic selectors do not match the peer's (TS_UNACCEPTABLE)"},
	{regexp.MustCompile(`no (?:matching |alternative )?(?:IKE |peer )?config found`), 2, "no connection here fits the peer's addresses and ids"},
	{regexp.MustCompile(`received (\w+) (?:notify error|error notify|notify, no CHILD_SA built)`), 2, "the peer refuses ($1)"},
	{regexp.MustCompile(`peer not responding|giving up after \d+ retransmits`), 1, noAnswer},
	{regexp.MustCompile(`retransmit \d+ of request`), 1, noAnswer},
	{regexp.MustCompile(`unable to resolve (\S+),`), 3, "name $1 does not resolve"},
	{regexp.MustCompile(`unable to allocate SPIs? from kernel|received netlink error: (.+)`), 1, "the kernel refuses ($1)"},
}

// The reasons that take more than one line to know.
const (
	noAnswer        = "no answer from the peer"
	noIKEProposal   = "no IKE proposal chosen"
	noChildProposal = "no ESP or AH proposal chosen"
)

// attempt begins a negotiation: what was said before is of another.
var attempt = regexp.MustCompile(`^initiating (?:IKE_SA|Main Mode|Aggressive Mode)|is initiating a|^establishing CHILD_SA`)

var (
	receivedProposals = regexp.MustCompile(`received proposals: (.+)`)
	offeredProposals  = regexp.MustCompile(`configured proposals: (.+)`)
)

// Hear takes one line of charon's log, and reports whether there is a reason in it.
func (w *Words) Hear(line string) bool {
	if attempt.MatchString(line) {
		*w = Words{IKE: w.IKE, Child: w.Child}
	}
	if m := receivedProposals.FindStringSubmatch(line); m != nil {
		w.received = m[1]
	}
	if m := offeredProposals.FindStringSubmatch(line); m != nil {
		w.offered = m[1]
	}
	for _, p := range phrases {
		m := p.pattern.FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		if p.rank >= w.rank {
			w.rank, w.reason = p.rank, string(p.pattern.ExpandString(nil, p.text, line, m))
		}
		return true
	}
	return false
}

// Reason is what was heard, in short. Without anything heard it is what charon answered,
// or that the peer does not.
func (w *Words) Reason(answer string) string {
	switch w.reason {
	case "":
		if answer == "" || strings.Contains(answer, "not established after") {
			return noAnswer
		}
		return answer
	case noIKEProposal:
		return w.reason + w.offers(w.IKE)
	case noChildProposal:
		return w.reason + w.offers(w.Child)
	}
	return w.reason
}

// offers are both sides' proposals, as far as they are known. A peer that refuses does
// not say what it would take.
func (w *Words) offers(ours []string) string {
	offered := cmp.Or(w.offered, strings.Join(ours, ", "), "strongSwan's default")
	if w.received == "" {
		return ": the peer takes none of " + offered
	}
	return ": the peer offers " + w.received + ", this side " + offered
}
