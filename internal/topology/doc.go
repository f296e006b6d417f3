// Package topology turns the YAML file that describes a site into typed,
// validated values. It is the only package that knows YAML.
package topology
