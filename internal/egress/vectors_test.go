package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/egress/netguard"
	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

// names is a resolver with fixed answers.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	texts, ok := n[host]
	if !ok {
		return nil, fmt.Errorf("no such host: %s", host)
	}
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

// vector is a destination that somebody's tests, or a list of attacks, say must
// be closed or open.
type vector struct {
	url     string
	answers []string // of the host, if it is a name
}

func bySource(open bool) map[string][]vector {
	all, err := corpus.Destinations()
	if err != nil {
		panic(err)
	}
	out := make(map[string][]vector)
	for _, d := range all {
		if d.Open == open {
			out[d.Source] = append(out[d.Source], vector{d.URL, d.Answers})
		}
	}
	return out
}

// closed lists, by source, what must not be reached.
func closed() map[string][]vector { return bySource(false) }

// open lists what the same sources say must be reached.
func open() map[string][]vector { return bySource(true) }

func verdict(t *testing.T, v vector) error {
	t.Helper()
	lookup := names{}
	g, err := egress.NewGuard(egress.Policy{}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	target, err := g.CheckURL(v.url)
	if err != nil {
		return err
	}
	lookup[target.Host] = v.answers
	if v.answers == nil {
		delete(lookup, target.Host)
	}
	_, err = g.Resolve(t.Context(), target.Host, target.Port)
	return err
}

func TestNoDestinationOfTheCorporaIsLetThrough(t *testing.T) {
	let, total := 0, 0
	for source, vectors := range closed() {
		for _, v := range vectors {
			total++
			if err := verdict(t, v); err == nil {
				let++
				t.Errorf("%s: %s %v was let through", source, v.url, v.answers)
			}
		}
		t.Logf("%3d closed: %s", len(vectors), source)
	}
	t.Logf("%d destinations that must be closed, %d let through", total, let)
}

func TestDestinationsThatAreFineAreReached(t *testing.T) {
	const spaced = "https://bücher.example/a b" // the one that is refused on purpose: clients write %20
	wrong, total := 0, 0
	for source, vectors := range open() {
		for _, v := range vectors {
			total++
			err := verdict(t, v)
			if err == nil {
				continue
			}
			wrong++
			t.Logf("refused by mistake or on purpose: %s: %s: %v", source, v.url, err)
			if v.url != spaced {
				t.Errorf("%s: %s %v: %v", source, v.url, v.answers, err)
			}
			if !errors.Is(err, egress.ErrRefused) {
				t.Errorf("%s: error %v is not ErrRefused", v.url, err)
			}
		}
	}
	t.Logf("%d destinations that must be open, %d refused", total, wrong)
}

// TestNoConnectionIsTriedForTheCorpora goes the whole way, from the client to the
// moment before a connection is opened.
func TestNoConnectionIsTriedForTheCorpora(t *testing.T) {
	var tried []netip.AddrPort
	last := func(a netip.AddrPort) error {
		tried = append(tried, a)
		return errors.New("not in a test")
	}
	lookup := names{}
	n := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{}, lookup), Allow: last})
	get := func(v vector) error {
		if target, err := netguard.ParseURL(v.url); err == nil && v.answers != nil {
			lookup[target.Host] = v.answers
			defer delete(lookup, target.Host)
		}
		res, err := n.Client(egress.ClientOptions{}).Get(v.url)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	for source, vectors := range closed() {
		for _, v := range vectors {
			if err := get(v); err == nil || len(tried) > 0 {
				t.Errorf("%s: %s %v: got %v, and connections to %v", source, v.url, v.answers, err, tried)
				tried = nil
			}
		}
	}
	if err := get(vector{"http://public.example/", []string{"93.184.216.34"}}); err == nil || len(tried) != 1 {
		t.Errorf("a public address: got %v and %d tries, want one", err, len(tried))
	}
}
