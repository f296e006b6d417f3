package engine

import "context"

// Alone calls fn while no apply is under way and none can begin. It does not wait: where
// somebody holds the lock, fn is not called, and the error is a *LockedError.
func (e *Engine) Alone(ctx context.Context, fn func() error) error {
	impatient := *e
	impatient.LockTimeout = 0
	l, err := impatient.acquire(ctx)
	if err != nil {
		return err
	}
	defer l.release()
	return fn()
}
