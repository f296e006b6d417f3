package backend

import (
	"context"
	"time"
)

// Server is what `status` says of one that hands out addresses.
type Server struct {
	Protocol Kind
	Name     string
	Pool     []string // prefixes and ranges, as the topology has them
	Used     int      // addresses that somebody has now
	Free     int      // and that nobody has
}

// ServerLister is a backend whose daemons hand out addresses.
type ServerLister interface {
	// Servers lists its servers. It reads only and needs no lock.
	Servers(ctx context.Context, in Input) ([]Server, error)
}

// Certificate is one that a tunnel of this node needs: its own, or an authority's.
type Certificate struct {
	Protocol Kind
	Name     string // of the connection
	Path     string // of the copy that the daemon reads
	Subject  string
	NotAfter time.Time
}

// CertificateLister is a backend whose tunnels end when certificates do.
type CertificateLister interface {
	// Certificates lists them. It reads only and needs no lock.
	Certificates(ctx context.Context, in Input) ([]Certificate, error)
}

// Kicker is a backend whose tunnels have users.
type Kicker interface {
	// Kick ends a user's sessions, and returns those that there were. A session that
	// comes up anew is none of its business.
	Kick(ctx context.Context, in Input, user string) ([]Session, error)
}
