package eventlog

import (
	"bytes"
	"errors"
	"testing"
)

func TestLines(t *testing.T) {
	err := errors.New("one\ntwo")
	for _, tt := range []struct {
		name string
		open func(b *bytes.Buffer) *Log
		want string
	}{
		{"plain", func(b *bytes.Buffer) *Log { return New(b) }, "set 5\nno: one; two\nbad\n"},
		{"unit", func(b *bytes.Buffer) *Log { return &Log{prefixed(b)} }, "<6>set 5\n<4>no: one; two\n<3>bad\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			l := tt.open(&b)
			l.Infof("set %d", 5)
			l.Warnf("no: %v", err)
			l.Errorf("bad")
			if b.String() != tt.want {
				t.Errorf("got %q, want %q", b.String(), tt.want)
			}
		})
	}
}
