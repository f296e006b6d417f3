// Package secret holds values that must not be shown: where they come from,
// how they are compared, and where they are kept.
package secret
