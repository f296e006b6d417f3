//go:build vm

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// radiusd is Debian's FreeRADIUS on a host of the lab, configured by hand.
type radiusd struct {
	*lab.Host
	t *testing.T
}

// radiusFolder is where it has its configuration, and what it accounts.
const radiusFolder = "/run/lab-radius"

// radiusConf answers the gateways of the labs, for every way to log in that pppd has.
const radiusConf = `prefix = /usr
libdir = /usr/lib/freeradius
logdir = ` + radiusFolder + `
raddbdir = ` + radiusFolder + `
run_dir = ` + radiusFolder + `
log {
	destination = stdout
}
client gateway {
	ipaddr = 10.20.0.1
	secret = "shared-with-radius#1"
}
modules {
	mschap {
		use_mppe = yes
		require_encryption = yes
		require_strong = yes
	}
	chap {
	}
	pap {
	}
	files {
		filename = ` + radiusFolder + `/users
	}
	detail {
		filename = ` + radiusFolder + `/accounting
		permissions = 0600
	}
}
server default {
	listen {
		type = auth
		ipaddr = 10.20.0.10
		port = 1812
	}
	listen {
		type = acct
		ipaddr = 10.20.0.10
		port = 1813
	}
	authorize {
		chap
		mschap
		files
		pap
	}
	authenticate {
		Auth-Type MS-CHAP {
			mschap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type PAP {
			pap
		}
	}
	accounting {
		detail
	}
}
`

// startRadius starts a server that knows dave, who has an address of his own.
func startRadius(t *testing.T, h *lab.Host, address string) *radiusd {
	t.Helper()
	h.WriteFile(radiusFolder+"/radiusd.conf", radiusConf, 0o600)
	h.WriteFile(radiusFolder+"/accounting", "", 0o600)
	h.WriteFile(radiusFolder+"/users", `dave Cleartext-Password := "of dave"
	Service-Type = Framed-User, Framed-Protocol = PPP, Framed-IP-Address = `+address+"\n", 0o600)
	p := h.Start("freeradius", "-X", "-d", radiusFolder)
	p.Await("Ready to process requests")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("FreeRADIUS:\n%s", p.Output())
		}
	})
	return &radiusd{Host: h, t: t}
}

// accounted awaits a record that has all of words.
func (r *radiusd) accounted(words ...string) {
	r.t.Helper()
	r.Eventually(20*time.Second, func() error {
		text := r.ReadFile(radiusFolder + "/accounting")
	records:
		for record := range strings.SplitSeq(text, "\n\n") {
			for _, w := range words {
				if !strings.Contains(record, w) {
					continue records
				}
			}
			return nil
		}
		return fmt.Errorf("no record has all of %q:\n%s", words, text)
	})
}

// byRadius lets RADIUS say who may log in to the server of an example.
func byRadius(topology string) string {
	return strings.Replace(topology, "    server: vpn\n",
		"    server: vpn\n    radius: {servers: [{address: 10.20.0.10, secret: {value: 'shared-with-radius#1'}}]}\n", 1)
}
