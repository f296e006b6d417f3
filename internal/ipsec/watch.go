package ipsec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/reason"
)

var _ backend.Watcher = (*Backend)(nil)

// Pace is how patiently a Backend watches. Fields that are zero get what is due (contract,
// sections 1 and 5).
type Pace struct {
	Look   time.Duration // between two looks at the SAs
	Second time.Duration // that the other end has, where it is the first to initiate
	First  time.Duration // between two attempts, doubling
	Most   time.Duration // at most
}

// Watch implements backend.Watcher: it brings up again what charon has given up, keeps why
// tunnels are down, closes SAs that two ends have made at once, deletes those that a charon
// has left behind, and starts one anew that vpnctl started and that has ended.
func (b *Backend) Watch(ctx context.Context, s *backend.Shift) error {
	if s.Want.IPsec.IsZero() {
		return nil
	}
	w := newWatcher(b, s)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	wait.Go(func() { w.listen(ctx) })
	tick := time.NewTicker(b.Pace.Look)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watcher is one shift.
type watcher struct {
	*Backend
	shift *backend.Shift
	kept  []*keptUp
	run   string            // of charon, whose predecessors have left nothing behind
	words map[string]*Words // by connection; of who listens

	mu sync.Mutex
	up map[reason.Key]bool // children that had an SA at the last look
}

// keptUp is a child that this node brings up.
type keptUp struct {
	child
	conn  *desired.Connection
	how   desired.Initiate
	since time.Time     // without an SA; zero with one
	next  time.Time     // when it is initiated, at the earliest
	pause time.Duration // before the attempt after that
}

func newWatcher(b *Backend, s *backend.Shift) *watcher {
	w := &watcher{Backend: b, shift: s, words: map[string]*Words{}}
	want := b.waken(&s.Want.IPsec)
	for i := range want.Connections {
		conn := &want.Connections[i]
		if conn.Server || !slices.ContainsFunc(conn.RemoteAddrs, func(a string) bool { return a != "%any" }) {
			continue
		}
		for k := range conn.Children {
			c := &conn.Children[k]
			if c.Initiate == desired.InitiateNever && c.Hold != "trap" {
				continue
			}
			w.kept = append(w.kept, &keptUp{
				child: child{Connection: conn.Name, Child: c.Name, IKE: conn.Proposals, ESP: c.Proposals},
				conn:  conn, how: c.Initiate,
			})
		}
	}
	// Those that are started come before those that traffic starts.
	slices.SortStableFunc(w.kept, func(a, b *keptUp) int { return order(a.how) - order(b.how) })
	return w
}

func order(i desired.Initiate) int {
	return slices.Index([]desired.Initiate{desired.InitiateFirst, desired.InitiateSecond, desired.InitiateNever}, i)
}

// look compares the SAs with what shall be up, and does what is due.
func (w *watcher) look(ctx context.Context) error {
	c, err := w.open(ctx)
	if errors.Is(err, ErrNotRunning) {
		return w.revive(ctx)
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	run, err := c.Run()
	if err != nil {
		return err
	}
	var kernel []KernelSA
	if run != w.run {
		if kernel, err = w.SAD.SAs(); err != nil {
			return err
		}
	}
	sas, err := c.sas(ctx)
	if err != nil {
		return err
	}
	w.note(sas)
	reasons, err := w.Reasons.All()
	if err != nil {
		return err
	}
	due := w.due(sas, reasons)
	surplus := w.surplus(sas)
	orphans, all := w.orphans(ctx, kernel, sas)
	done := func() {
		if all {
			w.run = run
		}
	}
	if len(due)+len(surplus)+len(orphans) == 0 {
		done()
		return nil
	}
	err = w.shift.Change(ctx, func() error {
		if err := w.dropOrphans(ctx, c, orphans); err != nil {
			return err
		}
		done()
		for _, t := range surplus {
			if err := c.do(ctx, "terminate", message(t.by, t.id, "force", "yes", "timeout", -1)); err != nil && !refused(err, "no matching") {
				return fmt.Errorf("closing %s: %w", t.name, err)
			}
			w.shift.Say("ipsec/%s: closed a second CHILD_SA", t.name)
		}
		return w.initiateAll(ctx, c, due)
	})
	if errors.Is(err, backend.ErrBusy) {
		return nil
	}
	return err
}

// note keeps which children are up. What is said about one that is (retransmissions, say)
// is no reason yet.
func (w *watcher) note(sas []ikeSA) {
	up := map[reason.Key]bool{}
	for i := range sas {
		for _, c := range sas[i].Children {
			if c.installed() {
				up[reason.Key{Connection: sas[i].Name, Child: c.Name}] = true
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up = up
}

func (w *watcher) isUp(k reason.Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up[k]
}

// initiateAll asks for children and does not wait: why one fails is in the log, to which
// somebody listens.
func (w *watcher) initiateAll(ctx context.Context, c *client, due []*keptUp) error {
	for _, k := range due {
		err := c.do(ctx, "initiate", message("ike", k.Connection, "child", k.Child, "timeout", -1))
		var no *CommandError
		if err != nil && !errors.As(err, &no) {
			return fmt.Errorf("initiating %s of %s: %w", k.Child, k.Connection, err)
		}
		w.shift.Say("ipsec/%s/child/%s: initiated", k.Connection, k.Child)
	}
	return nil
}

// due are the children that are initiated now.
func (w *watcher) due(sas []ikeSA, reasons map[reason.Key]reason.Reason) []*keptUp {
	now := w.Now()
	var out []*keptUp
	for _, k := range w.kept {
		key := reason.Key{Connection: k.Connection, Child: k.Child}
		if _, failed := reasons[key]; w.isUp(key) || k.how == desired.InitiateNever && !failed {
			k.since, k.next, k.pause = time.Time{}, time.Time{}, 0
			continue
		}
		if underWay(sas, k.child) {
			k.since = time.Time{} // but it may fail, and then the pause still counts
			continue
		}
		if k.since.IsZero() {
			k.since = now
			earliest := now
			if k.how != desired.InitiateFirst {
				earliest = now.Add(w.Pace.Second)
			}
			if earliest.After(k.next) {
				k.next = earliest
			}
		}
		if now.Before(k.next) {
			continue
		}
		k.pause = min(max(2*k.pause, w.Pace.First), w.Pace.Most)
		k.next = now.Add(k.pause)
		out = append(out, k)
	}
	return out
}

// surplus are the SAs of children that two ends have made at once. Only the end that
// initiates first closes any, so that not each closes the other's; while a rekey is under
// way there are two by right.
func (w *watcher) surplus(sas []ikeSA) []target {
	var out []target
	for _, k := range w.kept {
		var have []childSA
		rekeying := false
		for i := range sas {
			if sas[i].Name != k.Connection {
				continue
			}
			rekeying = rekeying || sas[i].State != "ESTABLISHED"
			for _, c := range sas[i].Children {
				if c.Name == k.Child {
					have = append(have, c)
					rekeying = rekeying || c.State != "INSTALLED"
				}
			}
		}
		if k.how != desired.InitiateFirst || rekeying {
			continue
		}
		for _, c := range have[:max(len(have)-1, 0)] {
			// Just installed ones may be the two sides of a rekey that has ended.
			if age, ok := seconds(c.InstallTime); ok && age >= w.Pace.Second {
				out = append(out, target{by: "child-id", id: c.ID, what: "CHILD_SA", name: k.Connection + "/child/" + k.Child})
			}
		}
	}
	return out
}

// revive starts a charon that vpnctl started itself. One of systemd's is systemd's matter.
func (w *watcher) revive(ctx context.Context) error {
	var setup *DaemonSetup
	if !w.shift.Memory.Get(daemonMemory, &setup) || setup == nil || setup.Systemd {
		return nil
	}
	err := w.shift.Change(ctx, func() error {
		state, err := w.Daemon.State(ctx)
		if err != nil || state.Running || state.Mute {
			return err
		}
		if err := w.Daemon.Start(ctx, *setup); err != nil {
			return err
		}
		w.shift.Say("%s: started again", daemonObject)
		return w.reload(ctx)
	})
	if errors.Is(err, backend.ErrBusy) {
		return nil
	}
	return err
}

// reload gives a fresh charon all that the file holds.
func (w *watcher) reload(ctx context.Context) error {
	held, err := w.observeFiles(w.shift.Input)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		for _, o := range held.of(k) {
			if err := w.applyObject(ctx, nil, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen keeps why tunnels are down, for as long as there is a charon to listen to.
func (w *watcher) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.Listen(ctx, w.hear); err != nil && !errors.Is(err, ErrNotRunning) {
			w.shift.Say("listening to charon: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(w.Pace.Look):
		}
	}
}

// hear takes one event in.
func (w *watcher) hear(e Event) {
	conn := w.connection(e.Connection)
	if conn == nil {
		return
	}
	if e.Line == "" {
		w.came(conn, e)
		return
	}
	words := w.words[conn.Name]
	if words == nil {
		words = &Words{IKE: conn.Proposals}
		w.words[conn.Name] = words
	}
	if !words.Hear(e.Line) {
		return
	}
	for i := range conn.Children {
		words.Child = conn.Children[i].Proposals
		key := reason.Key{Connection: conn.Name, Child: conn.Children[i].Name}
		if !w.isUp(key) {
			w.keep(key, words.Reason(""))
		}
	}
}

// came forgets the reasons of children that have come up.
func (w *watcher) came(conn *desired.Connection, e Event) {
	if !e.Up {
		return
	}
	delete(w.words, conn.Name)
	for _, name := range e.Children {
		if err := w.Reasons.Clear(reason.Key{Connection: conn.Name, Child: name}); err != nil {
			w.shift.Say("%v", err)
		}
	}
}

func (w *watcher) keep(key reason.Key, text string) {
	if err := w.Reasons.Put(key, reason.Reason{Text: text, Time: w.Now()}); err != nil {
		w.shift.Say("%v", err)
	}
}

func (w *watcher) connection(name string) *desired.Connection {
	for i := range w.shift.Want.IPsec.Connections {
		if c := &w.shift.Want.IPsec.Connections[i]; c.Name == name && !c.Server {
			return c
		}
	}
	return nil
}
