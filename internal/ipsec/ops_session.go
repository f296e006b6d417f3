package ipsec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// closing names SAs that end: those of a connection, of one child, or of a user.
type closing struct {
	Connection string `json:"connection,omitempty"`
	Child      string `json:"child,omitempty"`
	// Gone says that the child is no more: an IKE_SA that carried it alone ends with it.
	Gone bool   `json:"gone,omitempty"`
	User string `json:"user,omitempty"`
	// ID narrows it to the SAs of a peer.
	ID string `json:"id,omitempty"`
	// New says that what is named is made by the same plan: it ends when that is undone.
	New bool `json:"new,omitempty"`
}

// closings is a set of them.
type closings struct {
	List []closing `json:"list"`
}

// due are those that count in one direction.
func (c *closings) due(undo bool) []closing {
	if c == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.List), func(c closing) bool { return c.New && !undo })
}

// closeTimeout is how long charon waits for a peer's word on the end of an SA.
const closeTimeout = 2 * time.Second

// applyClose ends SAs: on the way there those with the settings from before, on the way
// back those that have come up since with the new ones. What was up before is initiated
// again by the undo of another step, once the old settings are back.
func (b *Backend) applyClose(ctx context.Context, from, to *closings) error {
	list := from.due(false)
	if from == nil {
		list = to.due(true)
	}
	if len(list) == 0 {
		return nil
	}
	c, err := b.open(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	sas, err := c.sas(ctx)
	if err != nil {
		return err
	}
	for _, t := range targetsOf(sas, list) {
		if err := c.close(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// close closes one SA; one that is gone already is success. Several connections may have a
// child of the same name: the number is exact.
func (c *client) close(ctx context.Context, t target) error {
	err := c.do(ctx, "terminate", message(t.by, t.id, "force", "yes", "timeout", int(closeTimeout.Milliseconds())))
	if err != nil && !refused(err, "no matching") {
		return fmt.Errorf("closing %s of %s: %w", t.what, t.name, err)
	}
	return nil
}

// target is one SA that is to be closed, by number.
type target struct{ by, id, what, name string }

// targetsOf finds the SAs that closings name, each once.
func targetsOf(sas []ikeSA, list []closing) []target {
	var out []target
	for i := range sas {
		sa := &sas[i]
		var children []target
		whole := false
		for _, c := range list {
			w, t := c.within(sa)
			whole = whole || w
			children = append(children, t...)
		}
		if whole {
			out = append(out, target{"ike-id", sa.ID, "IKE_SA", sa.Name})
			continue
		}
		out = append(out, children...)
	}
	return out
}

// within finds what a closing means of one IKE_SA: the whole, or some children.
func (c closing) within(sa *ikeSA) (whole bool, children []target) {
	switch {
	case c.User != "":
		return sa.user() == c.User, nil
	case c.Connection != sa.Name || c.ID != "" && c.ID != sa.RemoteID:
		return false, nil
	case c.Child == "":
		return true, nil
	}
	for _, child := range sa.Children {
		if child.Name == c.Child {
			children = append(children, target{"child-id", child.ID, "CHILD_SA", child.Name})
		}
	}
	return c.Gone && len(children) > 0 && len(children) == len(sa.Children), children
}
