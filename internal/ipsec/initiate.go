package ipsec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongswan/govici/vici"
	"golang.org/x/sync/errgroup"

	"github.com/vpnctl/vpnctl/internal/reason"
)

// child names a child of a connection.
type child struct {
	Connection string `json:"connection"`
	Child      string `json:"child"`
	// IKE and ESP are what this side offers, to be told where the peer refuses it.
	IKE []string `json:"ike,omitempty"`
	ESP []string `json:"esp,omitempty"`
}

// children is a set of them.
type children struct {
	List []child `json:"list"`
}

// The limits of initiating. A peer that is down fails no apply and holds none up: what is
// not up within initiateTimeout goes on by itself in charon, and watch sees to the rest.
// charon lends one of its sixteen threads to each caller that waits.
const (
	initiateTimeout  = 3 * time.Second
	initiateParallel = 4
)

// applyInitiate brings children up that have no SA yet, and keeps why those that fail do.
// Whether they come up is live state, and no error.
func (b *Backend) applyInitiate(ctx context.Context, _, to *children) error {
	if to == nil || len(to.List) == 0 {
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
	deadline := b.Now().Add(initiateTimeout)
	var wait errgroup.Group
	wait.SetLimit(initiateParallel)
	for _, group := range byConnection(to.List) {
		wait.Go(func() error {
			// One after the other: two at once could make two IKE_SAs.
			for _, child := range group {
				if underWay(sas, child) {
					continue
				}
				if err := b.initiate(ctx, child, deadline); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return wait.Wait()
}

// byConnection groups children that stand beside each other.
func byConnection(list []child) (groups [][]child) {
	for i, c := range list {
		if i == 0 || list[i-1].Connection != c.Connection {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, c)
	}
	return groups
}

// underWay reports whether a child has an SA or is about to: a second initiation would
// make a second one.
func underWay(sas []ikeSA, c child) bool {
	for i := range sas {
		if sas[i].Name != c.Connection {
			continue
		}
		if sas[i].negotiating() {
			return true
		}
		for _, have := range sas[i].Children {
			if have.Name == c.Child && have.State != "DELETING" && have.State != "DELETED" {
				return true
			}
		}
	}
	return false
}

// initiate brings one child up, or keeps why not.
func (b *Backend) initiate(ctx context.Context, ch child, deadline time.Time) error {
	c, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	// One that comes late is asked for, and not waited for.
	timeout := -1
	if left := deadline.Sub(b.Now()); left > 0 {
		timeout = int(left.Milliseconds())
	}
	key := reason.Key{Connection: ch.Connection, Child: ch.Child}
	said := &Words{IKE: ch.IKE, Child: ch.ESP}
	in := message("ike", ch.Connection, "child", ch.Child, "timeout", timeout, "loglevel", 1)
	err = c.Stream(ctx, "initiate", "control-log", in, func(m *vici.Message) {
		line, _ := m.Get("msg").(string)
		said.Hear(line)
	})
	var no *CommandError
	switch {
	case err == nil && timeout > 0:
		return b.Reasons.Clear(key)
	case errors.As(err, &no):
		return b.Reasons.Put(key, reason.Reason{Text: said.Reason(no.Message), Time: b.Now()})
	case err != nil:
		return fmt.Errorf("initiating %s of %s: %w", ch.Child, ch.Connection, err)
	}
	return nil
}
