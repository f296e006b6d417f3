package watch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
)

// Retry tries what a boot has left out, and returns what that was and what is left out
// still.
type Retry func(ctx context.Context) (before, left []engine.LeftOut, err error)

// Again tries what a boot has left out, more and more patiently, until nothing is or ctx
// ends. It says what has come up, and a reason that is new.
func Again(ctx context.Context, pace Pace, try Retry, log *eventlog.Log) {
	again, most := cmp.Or(pace.Again, 5*time.Second), cmp.Or(pace.Most, time.Minute)
	pause := again
	for sleep(ctx, pause) {
		before, left, err := try(ctx)
		if locked := (*engine.LockedError)(nil); errors.As(err, &locked) || ctx.Err() != nil {
			continue // an apply is under way, and may mend it
		}
		if err != nil {
			log.Warnf("boot: trying again: %v", err)
		}
		for _, l := range before {
			if !slices.ContainsFunc(left, func(o engine.LeftOut) bool { return o.Object == l.Object }) {
				log.Infof("%s: brought up", l.Object)
			}
		}
		for _, l := range left {
			if !slices.Contains(before, l) {
				log.Warnf("%s: left out: %s", l.Object, l.Reason)
			}
		}
		if len(left) == 0 && err == nil {
			return
		}
		pause = min(2*pause, most)
	}
}

// again is Again for as long as the process watches: a boot may end after it has begun.
func (l *Loop) again(ctx context.Context) {
	for l.Again != nil && ctx.Err() == nil {
		Again(ctx, l.Pace, l.Again, l.Log)
	}
}

// sleep reports false where ctx ended first.
func sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
