package lockout

import "testing"

func TestCloses(t *testing.T) {
	tests := []struct {
		name, text string
		want       bool
	}{
		{"no rules", "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", false},
		{"a policy", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n", true},
		{"a last rule", ":INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable\n", true},
		{"a rule for some", ":INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.0/24 -j DROP\n", false},
		{"known connections", ":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", false},
		{"another chain", ":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n-A FORWARD -j DROP\n", false},
	}
	for _, tt := range tests {
		if got := closes(tt.text); got != tt.want {
			t.Errorf("%s: closed %v, want %v", tt.name, got, tt.want)
		}
	}
}
