package robots

// Count tells what scan finds: lines of the RFC and sitemaps, others, and the number of the last line.
func Count(body string) (valid, unknown, last int) {
	scan([]byte(body), func(l line) {
		last = l.number
		if l.key == keyUnknown || l.key == keyDelay {
			unknown++
		} else {
			valid++
		}
	})
	return valid, unknown, last
}

// PathOf and Escape are what Google's tests look at from within.
func PathOf(url string) string { return pathOf(url) }

func Escape(pattern string) string { return escape(pattern) }
