// Package eventlog writes what the processes of vpnctl do that nobody looks at: to the
// journal where systemd started them, to the system's log elsewhere.
package eventlog

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// Identifier is what journal and log file all of it under.
const Identifier = "vpnctl"

// Log takes one line an event. A log that has gone away stops nobody.
type Log struct {
	write func(p syslog.Priority, line string)
}

// Open opens the log of this process. Who runs it on a terminal reads along.
func Open() *Log {
	if ours, err := journal.StderrIsJournalStream(); ours && err == nil {
		return &Log{prefixed(os.Stderr)}
	}
	l := New(os.Stderr)
	w, err := syslog.New(syslog.LOG_DAEMON, Identifier)
	if err != nil {
		return l // there is no log, as in most containers
	}
	return &Log{func(p syslog.Priority, line string) {
		send(w, p, line)
		l.write(p, line)
	}}
}

// New returns a log of plain lines.
func New(w io.Writer) *Log {
	return &Log{func(_ syslog.Priority, line string) {
		_, _ = fmt.Fprintln(w, line)
	}}
}

// prefixed writes lines as sd-daemon(3) wants them from a service: the priority ahead.
func prefixed(w io.Writer) func(p syslog.Priority, line string) {
	return func(p syslog.Priority, line string) {
		_, _ = fmt.Fprintf(w, "<%d>%s\n", p, line)
	}
}

// send hands a line to the socket that journald and syslog daemons have in common.
func send(w *syslog.Writer, p syslog.Priority, line string) {
	switch p {
	case syslog.LOG_ERR:
		_ = w.Err(line)
	case syslog.LOG_WARNING:
		_ = w.Warning(line)
	default:
		_ = w.Info(line)
	}
}

// Infof tells what was done.
func (l *Log) Infof(format string, args ...any) { l.log(syslog.LOG_INFO, format, args) }

// Warnf tells what will be tried again.
func (l *Log) Warnf(format string, args ...any) { l.log(syslog.LOG_WARNING, format, args) }

// Errorf tells what somebody has to look at.
func (l *Log) Errorf(format string, args ...any) { l.log(syslog.LOG_ERR, format, args) }

func (l *Log) log(p syslog.Priority, format string, args []any) {
	// A line break would begin another event, of another priority.
	l.write(p, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
}
