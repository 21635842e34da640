package server

// DefinedTokens is what Tokens is, counted character by character.
func DefinedTokens(text string) int {
	var c counter
	for _, r := range text {
		c.add(r)
	}
	return c.total()
}

// AtMost is the bound that a budget uses before it counts.
func AtMost(text string) int { return atMost([]byte(text)) }
