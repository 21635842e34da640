package jwt_test

import (
	"encoding/json"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

// refused are vectors that Wycheproof calls valid and that we refuse, with why.
var refused = map[int]string{
	346: "the key says PS256, the token PS384", 350: "the key says PS256, the token PS384",
	347: "the key says ES521, which does not exist", 351: "the key says ES521, which does not exist",
	372: "it has a ? in base64url, which RFC 7515 forbids", 373: "it has a ? in base64url, which RFC 7515 forbids",
}

func TestWycheproofSignatures(t *testing.T) {
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
	text, err := corpus.WycheproofSignatures()
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, g := range file.TestGroups {
		key := g.Public
		if key == nil {
			key = g.Private
		}
		valid := map[string]bool{}
		for _, c := range g.Tests {
			if c.Result == "valid" {
				valid[string(c.JWS)] = true
			}
		}
		for _, c := range g.Tests {
			if c.Result == "invalid" && valid[string(c.JWS)] {
				count["the same token as another vector that is valid"]++ // 367 and 370 have lost their padding
				continue
			}
			var raw string
			if json.Unmarshal(c.JWS, &raw) != nil {
				raw = string(c.JWS) // the JSON serialization
			}
			err := jwt.VerifyVector(key, raw)
			switch {
			case c.Result == "invalid" && err == nil:
				count["invalid accepted"]++
				t.Errorf("vector %d, %s: accepted, want refused", c.TcID, c.Comment)
			case c.Result == "invalid":
				count["invalid refused"]++
			case err != nil && refused[c.TcID] == "":
				count["valid refused"]++
				t.Errorf("vector %d, %s: refused (%v), want accepted", c.TcID, c.Comment, err)
			case err != nil:
				count["valid refused on purpose"]++
			default:
				count["valid accepted"]++
			}
		}
	}
	t.Log(count)
	if count["invalid refused"]+count["valid accepted"] < 300 {
		t.Errorf("only %v were tried: are these the vectors?", count)
	}
}
