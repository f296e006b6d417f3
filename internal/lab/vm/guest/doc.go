// Package guest is the inside of the virtual machine: the first process, which
// turns a bare kernel into a machine with the files of the one around it, and
// the agent, which runs programs there and sends back what they print and how
// they end.
package guest
