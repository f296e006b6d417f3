package rtnl

import (
	"fmt"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Rule is a rule of policy routing that leads to a table. What it has no fields for it
// does not match on; see Other.
type Rule struct {
	IPv6     bool `json:"ipv6,omitempty"`
	Priority int  `json:"priority"`
	Not      bool `json:"not,omitempty"` // matches what is not so marked
	Mark     int  `json:"mark,omitempty"`
	Table    int  `json:"table"`
	// SuppressDefault passes over default routes found in the table
	// (suppress_prefixlength 0).
	SuppressDefault bool `json:"suppress_default,omitempty"`
	Protocol        int  `json:"protocol"`

	// What only others' rules have. Nobody can make one that has it.
	Src  netip.Prefix `json:"-"` // not valid: any
	Dst  netip.Prefix `json:"-"`
	Mask int          `json:"-"` // of the mark; 0: all of it
	// Other says that the rule asks for more, or does something else than look up a table.
	Other bool `json:"-"`
}

// String is the rule as ip-rule(8) writes it, without its priority.
func (r Rule) String() string {
	s := "from all"
	if r.Not {
		s = "not from all"
	}
	if r.Mark != 0 {
		s += fmt.Sprintf(" fwmark %#x", r.Mark)
	}
	if r.Table == MainTable {
		s += " lookup main"
	} else {
		s += fmt.Sprintf(" lookup %d", r.Table)
	}
	if r.SuppressDefault {
		s += " suppress_prefixlength 0"
	}
	return s
}

// Rules lists the rules of both families.
func (c *Conn) Rules() ([]Rule, error) {
	var rules []Rule
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		at := len(rules)
		err := c.dump("rules", func() { rules = rules[:at] }, func(e *encoder, seq uint32) {
			e.begin(unix.RTM_GETRULE, 0, seq, unix.SizeofRtMsg)[0] = fam
		}, func(m message) error {
			r, err := parseRule(m.data)
			rules = append(rules, r)
			return err
		})
		if err != nil && !noTable(err) {
			return nil, err
		}
	}
	return rules, nil
}

func parseRule(data []byte) (Rule, error) {
	if len(data) < unix.SizeofRtMsg {
		return Rule{}, errMalformed
	}
	r := Rule{IPv6: data[0] == unix.AF_INET6, Table: int(data[4])}
	r.Not = number(data[8:12])&unix.FIB_RULE_INVERT != 0
	r.Other = data[3] != 0 || data[7] != unix.FR_ACT_TO_TBL // tos, action
	err := attributes(data, unix.SizeofRtMsg, func(typ uint16, v []byte) {
		r.attribute(typ, v, int(data[1]), int(data[2]))
	})
	return r, err
}

// attribute takes one attribute over; the lengths are those of the prefixes.
func (r *Rule) attribute(typ uint16, v []byte, dst, src int) {
	switch typ {
	case unix.FRA_PRIORITY:
		r.Priority = number(v)
	case unix.FRA_FWMARK:
		r.Mark = number(v)
	case unix.FRA_FWMASK:
		if mask := number(v); uint32(mask) != math.MaxUint32 {
			r.Mask = mask
		}
	case unix.FRA_TABLE:
		r.Table = number(v)
	case unix.FRA_SUPPRESS_PREFIXLEN:
		r.SuppressDefault = number(v) == 0
	case unix.FRA_PROTOCOL:
		r.Protocol = number(v)
	case unix.FRA_SRC:
		r.Src = netip.PrefixFrom(address(v), src)
	case unix.FRA_DST:
		r.Dst = netip.PrefixFrom(address(v), dst)
	case unix.FRA_IIFNAME, unix.FRA_OIFNAME, unix.FRA_L3MDEV, unix.FRA_UID_RANGE, unix.FRA_TUN_ID,
		unix.FRA_IP_PROTO, unix.FRA_SPORT_RANGE, unix.FRA_DPORT_RANGE:
		r.Other = true
	}
}

// AddRule adds a rule. The kernel takes the same rule twice; who must not have that
// reads before.
type AddRule struct{ Rule }

func (r AddRule) String() string { return "adding rule " + r.Rule.String() }

func (r AddRule) encode(e *encoder, seq uint32) {
	r.Rule.encode(e, unix.RTM_NEWRULE, unix.NLM_F_CREATE, seq)
}

// DelRule removes a rule.
type DelRule struct{ Rule }

func (r DelRule) String() string { return "deleting rule " + r.Rule.String() }

func (r DelRule) encode(e *encoder, seq uint32) {
	r.Rule.encode(e, unix.RTM_DELRULE, 0, seq)
}

func (r Rule) encode(e *encoder, typ, flags int, seq uint32) {
	head := e.begin(typ, flags, seq, unix.SizeofRtMsg)
	head[0], head[7] = unix.AF_INET, unix.FR_ACT_TO_TBL
	if r.IPv6 {
		head[0] = unix.AF_INET6
	}
	if r.Not {
		putUint32(head[8:], unix.FIB_RULE_INVERT)
	}
	e.uint32(unix.FRA_PRIORITY, uint32(r.Priority))
	e.uint32(unix.FRA_TABLE, uint32(r.Table))
	e.uint8(unix.FRA_PROTOCOL, uint8(r.Protocol))
	if r.Mark != 0 {
		e.uint32(unix.FRA_FWMARK, uint32(r.Mark))
	}
	if r.SuppressDefault {
		e.uint32(unix.FRA_SUPPRESS_PREFIXLEN, 0)
	}
}
