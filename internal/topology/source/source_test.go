package source

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestErrorsSayWhereAndStayTestable(t *testing.T) {
	list := Errors{
		{Pos: Pos{File: "f", Line: 2, Column: 1}, Err: errors.New("last")},
		{Pos: Pos{File: "f", Line: 1, Column: 9, Path: "a.b[0]"}, Err: fmt.Errorf("second: %w", fs.ErrNotExist)},
		{Pos: Pos{File: "f", Line: 1, Column: 2, Path: "a"}, Err: errors.New("first")},
		{Pos: Pos{File: "f", Line: 1, Column: 2, Path: "z"}, Err: errors.New("first as well")},
	}
	list.Sort()
	const want = `f:1:2: a: first
f:1:2: z: first as well
f:1:9: a.b[0]: second: file does not exist
f:2:1: last`
	if got := list.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !errors.Is(list.Err(), fs.ErrNotExist) {
		t.Error("the cause cannot be found")
	}
	var one *Error
	if !errors.As(list.Err(), &one) || one.Pos.Path != "a" {
		t.Errorf("the first error is %v", one)
	}
}

func TestNoErrorsAreNil(t *testing.T) {
	if err := (Errors{}).Err(); err != nil {
		t.Errorf("got %v", err)
	}
}
