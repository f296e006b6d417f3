// Package reason keeps why tunnels are down, for who asks later: apply and watch hear it
// from the daemons, status tells it.
package reason
