package secret

// ID names a secret without telling it: "secret:" and 32 hex digits, the
// fingerprint of its bytes under a key of this host. Two secrets are equal
// where their ids are. The empty ID means that there is no secret.
type ID string
