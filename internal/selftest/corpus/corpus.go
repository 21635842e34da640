// Package corpus is test material that others have published, in the form in which the program carries it: compressed, and
// read when somebody asks. It says where each came from and under which licence (LICENSES.md). It does not know what is
// tried with it, nor what has to come out.
package corpus

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
)

// maxText bounds what one of the files below is when it is decompressed.
const maxText = 16 << 20

//go:embed jsontestsuite.json.gz
var jsonTestSuite string

//go:embed wycheproof_jws.json.gz
var wycheproofJWS string

//go:embed wycheproof_xchacha20.json.gz
var wycheproofXChaCha20 string

// Vector is one text of a suite. What its name says about it is the suite's matter.
type Vector struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// JSONTestSuite gives the texts of github.com/nst/JSONTestSuite, test_parsing. The first letter of a name says whether a
// parser must accept it (y), must refuse it (n), or may do either (i).
func JSONTestSuite() ([]Vector, error) {
	var all []Vector
	text, err := expand(jsonTestSuite)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read JSONTestSuite: %w", err)
	}
	return all, nil
}

// WycheproofSignatures gives Wycheproof's json_web_signature_test.json as it was published.
func WycheproofSignatures() ([]byte, error) { return expand(wycheproofJWS) }

// WycheproofXChaCha20 gives Wycheproof's xchacha20_poly1305_test.json as it was published.
func WycheproofXChaCha20() ([]byte, error) { return expand(wycheproofXChaCha20) }

func expand(compressed string) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader([]byte(compressed)))
	if err != nil {
		return nil, fmt.Errorf("open an embedded corpus: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return nil, fmt.Errorf("read an embedded corpus: %w", err)
	}
	return text, nil
}
