package swanctl_test

import "github.com/google/go-cmp/cmp/cmpopts"

// equateEmpty takes a section without values for one with none.
var equateEmpty = cmpopts.EquateEmpty()
