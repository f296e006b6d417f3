package ipsec_test

import (
	"testing"

	"github.com/vpnctl/vpnctl/internal/ipsec"
)

// TestWords holds what charon 5.9 says and what is made of it.
func TestWords(t *testing.T) {
	tests := []struct {
		name   string
		log    []string
		answer string
		want   string
	}{
		{"nothing", nil, "", "no answer from the peer"},
		{"time is up", nil, "CHILD_SA 'net' not established after 3000ms", "no answer from the peer"},
		{"its own answer", nil, "CHILD_SA config 'net' not found", "CHILD_SA config 'net' not found"},
		{"retransmits", []string{
			"initiating IKE_SA net[1] to 192.168.20.20", "retransmit 1 of request with message ID 0",
			"giving up after 5 retransmits", "establishing IKE_SA failed, peer not responding",
		}, "establishing CHILD_SA 'net' failed", "no answer from the peer"},
		{"the peer refuses our PSK", []string{"received AUTHENTICATION_FAILED notify error"}, "",
			"authentication failed: the peer refuses our id, key or PSK (AUTHENTICATION_FAILED)"},
		{"the peer's PSK is another", []string{"tried 2 shared keys for 'gw-a' - 'gw-b', but MAC mismatched"}, "",
			"authentication failed: the PSK of gw-b is another one"},
		{"no PSK", []string{"no shared key found for 'gw-a' - 'gw-b'"}, "", "authentication failed: no PSK here for gw-a and gw-b"},
		{"no PSK, IKEv1", []string{"no shared key found for 'gw-a'[192.0.2.1] - 'gw-b'[192.0.2.2]"}, "",
			"authentication failed: no PSK here for gw-a and gw-b"},
		{"PSK of IKEv1", []string{"calculated HASH does not match HASH payload"}, "", "authentication failed: the peer's PSK is another one"},
		{"IKE proposals", []string{"received NO_PROPOSAL_CHOSEN notify error"}, "",
			"no IKE proposal chosen: the peer takes none of aes128-sha256-modp2048"},
		{"IKE proposals, IKEv1", []string{"received NO_PROPOSAL_CHOSEN error notify"}, "",
			"no IKE proposal chosen: the peer takes none of aes128-sha256-modp2048"},
		{"IKE proposals, as a responder", []string{
			"received proposals: IKE:AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072",
			"configured proposals: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
			"received proposals unacceptable",
		}, "", "no IKE proposal chosen: the peer offers IKE:AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072, " +
			"this side IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"},
		{"ESP proposals", []string{
			"received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", "failed to establish CHILD_SA, keeping IKE_SA",
		}, "", "no ESP or AH proposal chosen: the peer takes none of aes256gcm16"},
		{"selectors", []string{"received TS_UNACCEPTABLE notify, no CHILD_SA built"}, "",
			"traffic selectors do not match the peer's (TS_UNACCEPTABLE)"},
		{"selectors, IKEv1", []string{"received INVALID_ID_INFORMATION error notify"}, "",
			"traffic selectors do not match the peer's (TS_UNACCEPTABLE)"},
		{"expired certificate", []string{
			"subject certificate invalid (valid from Nov 01 00:00:00 2025 to Nov 01 00:00:00 2026)",
			"no trusted RSA public key found for 'gw-b'",
		}, "", "certificate expired or not yet valid (from Nov 01 00:00:00 2025 to Nov 01 00:00:00 2026)"},
		{"a foreign CA", []string{`no issuer certificate found for "CN=gw-b"`, "no trusted ECDSA public key found for 'gw-b'"}, "",
			"the peer's certificate is not from our CA (issuer of CN=gw-b is unknown)"},
		{"EAP", []string{"EAP-MS-CHAPv2 failed with error ERROR_AUTHENTICATION_FAILURE: '(null)'", "received EAP_FAILURE, EAP authentication failed"}, "",
			"authentication failed: user name or password is wrong (ERROR_AUTHENTICATION_FAILURE)"},
		{"another refusal", []string{"received FAILED_CP_REQUIRED notify, no CHILD_SA built"}, "", "the peer refuses (FAILED_CP_REQUIRED)"},
		{"another attempt", []string{
			"initiating IKE_SA net[1] to 192.168.20.20", "tried 2 shared keys for 'gw-a' - 'gw-b', but MAC mismatched",
			"initiating IKE_SA net[2] to 192.168.20.20", "retransmit 1 of request with message ID 0",
		}, "", "no answer from the peer"},
		{"a name", []string{"unable to resolve gw-b.example.net, initiate aborted"}, "", "name gw-b.example.net does not resolve"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ipsec.Words{IKE: []string{"aes128-sha256-modp2048"}, Child: []string{"aes256gcm16"}}
			for _, line := range tt.log {
				w.Hear(line)
			}
			if got := w.Reason(tt.answer); got != tt.want {
				t.Errorf("reason is\n%q, want\n%q", got, tt.want)
			}
		})
	}
}
