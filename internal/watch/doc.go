// Package watch is the process that stays when apply has ended, and the backend by which
// apply sees to it that one runs where the topology needs it (contract, section 5).
//
// What there is to do is the backends' own matter; see backend.Watcher. The process starts
// them with what was applied last, and again after each apply.
package watch
