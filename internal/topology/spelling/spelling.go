// Package spelling finds what somebody meant who mistyped a word.
package spelling

import "strings"

// Nearest returns the known word that is fewest edits away from word, "" where
// none is near enough to be what was meant. Of two equally near ones it is the
// first.
func Nearest(word string, known []string) string {
	lower := strings.ToLower(word)
	// A third of the letters: one that is missing from `addresses` is found,
	// but no short word is taken for another.
	best, limit := "", len(word)/3
	for _, k := range known {
		if abs(len(k)-len(word)) > limit {
			continue
		}
		if d := Distance(lower, strings.ToLower(k)); d <= limit {
			if d == 0 {
				return k
			}
			best, limit = k, d-1
		}
	}
	return best
}

// Distance returns how many letters must be inserted, removed, replaced or
// swapped with their neighbour to make one word the other.
func Distance(a, b string) int {
	// Three rows of the table: swapping looks back two letters.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
