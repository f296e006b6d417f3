package unit

import "context"

// Reload lets systemd read the unit files again that were written or removed.
func (m *Manager) Reload(ctx context.Context) error { return m.reload(ctx) }
