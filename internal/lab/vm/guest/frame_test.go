package guest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFrames(t *testing.T) {
	var stream bytes.Buffer
	s := NewSender(&stream)
	// Output that looks like an event stays output, and a long piece is cut.
	junk := strings.Repeat("e\x00\x00\x00\x02{}\xff\n", 200_000)
	events := []Event{{Kind: Started, Run: 1}, {Kind: Exited, Run: 1, Code: 137, Seconds: 1.5, Text: "killed"}}
	for _, e := range events {
		if err := s.Event(e); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Write([]byte(junk)); n != len(junk) || err != nil {
			t.Fatalf("writing: %d, %v", n, err)
		}
	}

	var out bytes.Buffer
	var got []Event
	if err := Receive(&stream, &out, func(e Event) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if out.String() != junk+junk {
		t.Errorf("output of %d bytes differs from the %d sent", out.Len(), 2*len(junk))
	}
}

func TestBrokenFrames(t *testing.T) {
	for _, tt := range []struct{ name, stream, want string }{
		{"end in the header", "o\x00\x00", "unexpected EOF"},
		{"end in the payload", "o\x00\x00\x00\x05abc", "unexpected EOF"},
		{"endless", "o\xff\xff\xff\xff", "length 4294967295"},
		{"unknown kind", "x\x00\x00\x00\x00", "kind 'x'"},
		{"no event", "e\x00\x00\x00\x01{", "decoding event"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Receive(strings.NewReader(tt.stream), new(bytes.Buffer), func(Event) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}
