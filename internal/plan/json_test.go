package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
)

func TestJSON(t *testing.T) {
	tests := []struct {
		name   string
		result plan.Result
		change []backend.Change
		want   string
	}{
		{"nothing", plan.Unchanged, nil, `{
 "site": "hq",
 "node": "gw1",
 "result": "unchanged",
 "changes": [],
 "summary": {
  "create": 0,
  "update": 0,
  "delete": 0,
  "disruptive": 0
 }
}`},
		{"created", plan.Applied, whole[:1], `{
 "site": "hq",
 "node": "gw1",
 "result": "applied",
 "changes": [
  {
   "action": "create",
   "object": "wireguard/wg0/peer/linux2",
   "fields": [
    {
     "name": "allowed_ips",
     "have": null,
     "want": "10.0.0.2/32, 10.13.0.0/16",
     "secret": false
    },
    {
     "name": "preshared_key",
     "have": null,
     "want": null,
     "secret": true
    }
   ],
   "impact": {
    "level": "none",
    "what": null,
    "sessions": []
   },
   "note": null
  }
 ],
 "summary": {
  "create": 1,
  "update": 0,
  "delete": 0,
  "disruptive": 0
 }
}`},
		{"updated", plan.Planned, whole[2:4], `{
 "site": "hq",
 "node": "gw1",
 "result": "planned",
 "changes": [
  {
   "action": "update",
   "object": "ipsec/hq-branch",
   "fields": [
    {
     "name": "dpd_delay",
     "have": "30s",
     "want": null,
     "secret": false
    },
    {
     "name": "psk",
     "have": null,
     "want": null,
     "secret": true
    }
   ],
   "impact": {
    "level": "reload",
    "what": "reloads charon",
    "sessions": []
   },
   "note": "takes effect once the other end applies too"
  },
  {
   "action": "update",
   "object": "l2tp/office",
   "fields": [
    {
     "name": "local_ip",
     "have": "192.168.130.1",
     "want": "192.168.130.2",
     "secret": false
    }
   ],
   "impact": {
    "level": "disrupt",
    "what": "restarts xl2tpd: drops 2 sessions",
    "sessions": [
     {
      "protocol": "l2tp",
      "name": "office",
      "user": "user1",
      "peer": null,
      "address": "192.168.130.100"
     },
     {
      "protocol": "l2tp",
      "name": "office",
      "user": "user2",
      "peer": null,
      "address": "192.168.130.50"
     }
    ]
   },
   "note": null
  }
 ],
 "summary": {
  "create": 0,
  "update": 2,
  "delete": 0,
  "disruptive": 1
 }
}`},
		{"deleted", plan.RolledBack, whole[5:], `{
 "site": "hq",
 "node": "gw1",
 "result": "rolled_back",
 "changes": [
  {
   "action": "delete",
   "object": "file/etc/xl2tpd/xl2tpd.conf",
   "fields": [],
   "impact": {
    "level": "none",
    "what": null,
    "sessions": []
   },
   "note": null
  }
 ],
 "summary": {
  "create": 0,
  "update": 0,
  "delete": 1,
  "disruptive": 0
 }
}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.MarshalIndent(one(tt.change...).Document(tt.result), "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
		})
	}
}
