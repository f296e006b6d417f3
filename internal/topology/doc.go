// Package topology turns the YAML file that describes a site into typed,
// validated values. It is the only package that knows YAML.
//
// Parse reads a file in three steps. The parse_ files turn the YAML library's
// nodes into the types of the types_ files, one table of keys for each mapping,
// and refuse what is wrong by itself. fill resolves defaults that depend on
// other parts of the file. The check_ files refuse what does not go together:
// everything that can be said without a host, for all nodes. No step stops at
// an error, so that all of them are reported at once, each with its place.
//
// ParseDraft, SetPublicKeys and Redact serve those who change the file: they
// edit its text, and leave what they do not mean byte for byte.
package topology
