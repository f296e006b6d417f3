// Package state keeps what one apply leaves for the next: the topology that was applied,
// the memory of the backends, and the journal of the apply under way, in one folder that
// only root may enter (STATE, /var/lib/vpnctl).
package state
