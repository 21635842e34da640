package selftest

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

// notGiven is why a corpus that is not carried along is not tried.
const notGiven = "needs --data with a checkout of it"

// maxData bounds one file of a checkout.
const maxData = 64 << 20

// lines reads a file of a checkout below Data; nil where it is not there.
func (t *Target) lines(repository, file string) ([]string, error) {
	if t.Data == "" {
		return nil, nil
	}
	for _, name := range []string{repository, strings.Replace(repository, "/", "+", 1), filepath.Base(repository)} {
		path := filepath.Join(t.Data, filepath.FromSlash(name), filepath.FromSlash(file))
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case info.Size() > maxData:
			return nil, fmt.Errorf("%s is longer than %d MiB", path, maxData>>20)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }), nil
	}
	return nil, nil
}

// onPurpose are vectors that Wycheproof calls valid and that are refused here, with why.
var onPurpose = map[int]string{
	346: "the key says PS256, the token PS384", 350: "the key says PS256, the token PS384",
	347: "the key says ES521, which does not exist", 351: "the key says ES521, which does not exist",
	372: "it has a ? in base64url, which RFC 7515 forbids", 373: "it has a ? in base64url, which RFC 7515 forbids",
}

func signatures(_ context.Context, _ *Target, r *Result) error {
	text, err := corpus.WycheproofSignatures()
	if err != nil {
		return err
	}
	var file struct {
		TestGroups []struct {
			Public, Private json.RawMessage
			Tests           []struct {
				TcID            int
				Comment, Result string
				JWS             json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	for _, g := range file.TestGroups {
		key := g.Public
		if key == nil {
			key = g.Private
		}
		valid := map[string]bool{} // two invalid vectors are, as texts, the same as valid ones
		for _, c := range g.Tests {
			valid[string(c.JWS)] = valid[string(c.JWS)] || c.Result == "valid"
		}
		for _, c := range g.Tests {
			var raw string
			if json.Unmarshal(c.JWS, &raw) != nil {
				raw = string(c.JWS) // the JSON serialization
			}
			err := jwt.VerifyVector(key, raw)
			switch {
			case c.Result == "invalid" && !valid[string(c.JWS)]:
				r.attack(err != nil, "vector %d, %s", c.TcID, c.Comment)
			case c.Result == "valid" && onPurpose[c.TcID] == "":
				r.harmless(err == nil, "vector %d, %s: %v", c.TcID, c.Comment, err)
			case c.Result == "valid":
				r.attack(err != nil, "vector %d: %s", c.TcID, onPurpose[c.TcID])
			}
		}
	}
	return nil
}

func encryption(_ context.Context, _ *Target, r *Result) error {
	text, err := corpus.WycheproofXChaCha20()
	if err != nil {
		return err
	}
	var file struct {
		TestGroups []struct {
			Tests []struct {
				TcID                                        int
				Comment, Key, IV, AAD, Msg, Ct, Tag, Result string
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			box, err := subtle.NewXChaCha20Poly1305(unhex(c.Key))
			var plain []byte
			if err == nil {
				plain, err = box.Decrypt(bytes.Join([][]byte{unhex(c.IV), unhex(c.Ct), unhex(c.Tag)}, nil), unhex(c.AAD))
			}
			if c.Result == "valid" {
				r.harmless(err == nil && bytes.Equal(plain, unhex(c.Msg)), "vector %d, %s: %v", c.TcID, c.Comment, err)
			} else {
				r.attack(err != nil, "vector %d, %s", c.TcID, c.Comment)
			}
		}
	}
	return nil
}

func unhex(text string) []byte {
	b, _ := hex.DecodeString(text) // what is no hexadecimal is shorter, and then differs
	return b
}

// answers is a resolver that knows one destination.
type answers []string

func (a answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if len(a) == 0 {
		return nil, errors.New("there is no such name")
	}
	var all []netip.Addr
	for _, text := range a {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		all = append(all, addr)
	}
	return all, nil
}

// destinations asks the guard alone: nothing is dialled.
func destinations(ctx context.Context, _ *Target, r *Result) error {
	all, err := corpus.Destinations()
	if err != nil {
		return err
	}
	for _, d := range all {
		guard, err := egress.NewGuard(egress.Policy{}, answers(d.Answers))
		if err != nil {
			return err
		}
		target, err := guard.CheckURL(d.URL)
		if err == nil {
			_, err = guard.Resolve(ctx, target.Host, target.Port)
		}
		if d.Open {
			r.harmless(err == nil, "%s: %v", d.URL, err)
		} else {
			r.attack(err != nil, "%s %v", d.URL, d.Answers)
		}
	}
	return nil
}
