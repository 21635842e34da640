package wording

import "strings"

// Reader reads texts. It may be used concurrently.
type Reader struct {
	// Sets of words, as the constants in words.go.
	secrets, solo, owners, abroadSplit, callsAbroad, about, asks, makes, particles, wants, refusals, stops, contents map[string]bool
	// Parts of words, likewise.
	stems, abroad, callsTogether, tails []string
	// Words by the bare one behind them that they make another thing of.
	before map[string]map[string]bool
}

// New returns a Reader.
func New() *Reader {
	return &Reader{
		secrets:       set(secretsWords),
		solo:          set(soloWords),
		owners:        set(ownersWords),
		stems:         strings.Fields(stemsWords),
		abroad:        strings.Fields(abroadWords),
		abroadSplit:   set(abroadSplitWords),
		callsAbroad:   set(callsAbroadWords),
		callsTogether: strings.Fields(callsTogetherWords),
		tails:         strings.Fields(tailsWords),
		about:         set(aboutWords),
		before: map[string]map[string]bool{
			"token":  set(beforeToken),
			"secret": set(beforeSecret),
			"pin":    set(beforePin),
			"pins":   set(beforePins),
			"tan":    set(beforeTan),
			"parole": set(beforeParole),
			"clave":  set(beforeClave),
		},
		asks:      set(asksWords),
		makes:     set(makesWords),
		particles: set(particlesWords),
		wants:     set(wantsWords),
		refusals:  set(refusalsWords),
		stops:     set(stopsWords),
		contents:  set(contentsWords),
	}
}

func set(text string) map[string]bool {
	all := make(map[string]bool)
	for _, w := range strings.Fields(text) {
		all[w] = true
	}
	return all
}
