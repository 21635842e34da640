package strict

import "strings"

// Suggest gives the candidate that the word was probably meant to be, or "". Case, _ and - do not count, and about one
// wrong letter in three is forgiven.
func Suggest(word string, candidates []string) string {
	best, bestDistance := "", max(len(word)/3, 1)+1
	if len(word) < 2 {
		return ""
	}
	for _, c := range candidates {
		if d := distance(plain(word), plain(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func plain(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, remove, replace or swap with their neighbour to make b from a. Words of more
// than 64 letters are nobody's typing slip.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
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
		before, last = last, row
	}
	return last[len(b)]
}
