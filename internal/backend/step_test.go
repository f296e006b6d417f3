package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// thing is what the handlers of these tests are over.
type thing struct {
	Name  string   `json:"name"`
	Parts []string `json:"parts,omitempty"`
}

// recorder is a Handler that keeps what it was last called with.
type recorder struct {
	backend.Handler
	from, to *thing
	err      error
}

func newRecorder() *recorder {
	r := &recorder{}
	r.Handler = backend.Handle(func(_ context.Context, from, to *thing) error {
		r.from, r.to = from, to
		return r.err
	})
	return r
}

func TestHandleTakes(t *testing.T) {
	a, b := thing{Name: "a"}, thing{Name: "b", Parts: []string{"x"}}
	tests := []struct {
		name     string
		from, to any
		wantFrom *thing
		wantTo   *thing
	}{
		{"values", a, b, &a, &b},
		{"pointers", &a, &b, &a, &b},
		{"an absent object", nil, b, nil, &b},
		{"an object that goes", &a, nil, &a, nil},
		{"nothing", nil, nil, nil, nil},
		{"a nil pointer", (*thing)(nil), a, nil, &a},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRecorder()
			if err := r.Apply(t.Context(), tt.from, tt.to); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]*thing{tt.wantFrom, tt.wantTo}, []*thing{r.from, r.to}); diff != "" {
				t.Errorf("called with (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHandleErrors(t *testing.T) {
	r := newRecorder()
	r.err = errors.New("no space left on device")
	if err := r.Apply(t.Context(), nil, nil); !errors.Is(err, r.err) {
		t.Errorf("a failing handler returns %v", err)
	}
	const want = "operation on string, not backend_test.thing"
	for _, sides := range [][2]any{{"a", nil}, {nil, "a"}} {
		if err := r.Apply(t.Context(), sides[0], sides[1]); err == nil || err.Error() != want {
			t.Errorf("Apply(%v, %v) = %v, want %q", sides[0], sides[1], err, want)
		}
	}
	if _, err := r.Decode(json.RawMessage(`{"name": 1}`)); err == nil || !strings.HasPrefix(err.Error(), "decoding operation: ") {
		t.Errorf("decoding another shape: %v", err)
	}
}

// What the journal holds of an operation does the same as the operation.
func TestDecodeRoundTrip(t *testing.T) {
	for _, v := range []any{nil, thing{Name: "a"}, &thing{Name: "b", Parts: []string{"x", "y"}}, (*thing)(nil)} {
		direct, journalled := newRecorder(), newRecorder()
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := journalled.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(direct.Apply(t.Context(), v, nil), journalled.Apply(t.Context(), decoded, nil)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(direct.from, journalled.from); diff != "" {
			t.Errorf("%v by the journal (-direct +journalled):\n%s", v, diff)
		}
		// An absent object is nil for whoever looks at the side itself, too.
		if (direct.from == nil) != (decoded == nil) {
			t.Errorf("%v decodes to %#v", v, decoded)
		}
	}
}

// The end of an apply does the opposite of its beginning.
func TestPhaseOrder(t *testing.T) {
	pairs := [][2]backend.Phase{
		{backend.PhaseMemory, backend.PhaseForget}, {backend.PhaseGuard, backend.PhaseUnguard},
		{backend.PhaseFile, backend.PhaseRemoveFile}, {backend.PhaseSysctl, backend.PhaseRemoveSysctl},
		{backend.PhaseLink, backend.PhaseRemoveLink}, {backend.PhaseAddress, backend.PhaseRemoveAddress},
		{backend.PhasePeer, backend.PhaseRemovePeer}, {backend.PhaseRoute, backend.PhaseRemoveRoute},
	}
	for i, outer := range pairs {
		if outer[0] >= outer[1] {
			t.Errorf("phase %d does not come before %d", outer[0], outer[1])
		}
		for _, inner := range pairs[i+1:] {
			if outer[0] >= inner[0] || inner[1] >= outer[1] {
				t.Errorf("phases %v are not within %v", inner, outer)
			}
		}
	}
	if backend.PhaseSession <= backend.PhaseForget {
		t.Error("what has no inverse does not come last")
	}
}
