// Package vault turns secrets into ids and back. An id is the fingerprint of a value
// under a key of this host, so that two secrets can be compared, planned and journalled
// without being told. What has to outlive the process lies in files of mode 0600, one a
// secret, named by its id.
package vault
