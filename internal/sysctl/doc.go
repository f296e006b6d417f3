// Package sysctl sets kernel settings, and puts back what was there before.
//
// A write can change more than its own key: net/ipv4/ip_forward resets all interfaces'
// forwarding and the host's accept_redirects. What stands beside a key is therefore part
// of its state here, in the steps and in the memory.
package sysctl
