package secret

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// transitTimeout bounds one request to the service.
	transitTimeout = 10 * time.Second
	// transitPatience is how long it is asked again when it does not answer, or is
	// sealed or too busy.
	transitPatience = 5 * time.Second
	transitPause    = 250 * time.Millisecond
	maxTransit      = 64 << 10 // bytes of an answer
	// currentFor is how long the newest version of the key is remembered.
	currentFor = time.Minute
)

// TransitOptions say where a key service is. All but Namespace are needed.
type TransitOptions struct {
	// URL of the service, without /v1.
	URL string
	// Mount and Key are the path of the engine and the name of the key.
	Mount, Key string
	// Namespace is that of the engine; empty for none.
	Namespace string
	// Token gives the token to show; it is asked each time, so that the token can be
	// renewed by whoever writes it.
	Token func() (string, error)
	// Client reaches the service; it must not follow redirects.
	Client *http.Client
}

// Transit is a Wrapper whose master keys are in the transit engine of Vault or
// OpenBao and never leave it. A key there has versions; the id of a master key here
// is its name and version.
//
// What a data key is about is bound to it (associated_data), which takes a key of
// an AEAD type there: aes256-gcm96, the default, or chacha20-poly1305.
type Transit struct {
	o TransitOptions

	mu      sync.Mutex // guards what follows
	current string
	until   time.Time
}

var _ Wrapper = (*Transit)(nil)

// NewTransit returns a Transit. Nothing is asked yet.
func NewTransit(o TransitOptions) *Transit {
	o.URL, o.Mount = strings.TrimSuffix(o.URL, "/"), strings.Trim(o.Mount, "/")
	return &Transit{o: o}
}

// prefix begins the ids of its keys. The name is the key's, not that of the service:
// that may move.
func (t *Transit) prefix() string { return "transit/" + t.o.Mount + "/" + t.o.Key + "/" }

// Current implements Wrapper: the newest version of the key.
func (t *Transit) Current(ctx context.Context) (string, error) {
	t.mu.Lock()
	known, until := t.current, t.until
	t.mu.Unlock()
	if known != "" && time.Now().Before(until) {
		return known, nil
	}
	var said struct {
		Latest int `json:"latest_version"`
	}
	if err := t.ask(ctx, http.MethodGet, "keys", nil, &said); err != nil {
		return "", fmt.Errorf("read transit key: %w", err)
	}
	if said.Latest < 1 {
		return "", errors.New("read transit key: it has no version")
	}
	id := t.prefix() + strconv.Itoa(said.Latest)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current, t.until = id, time.Now().Add(currentFor)
	return id, nil
}

// cipherForm is what the engine gives: vault, the version of the key, and base64.
var cipherForm = regexp.MustCompile(`^[a-z]+:v([1-9][0-9]{0,8}):[A-Za-z0-9+/=_-]+$`)

// Wrap implements Wrapper.
func (t *Transit) Wrap(ctx context.Context, key, about []byte) ([]byte, string, error) {
	var said struct {
		Ciphertext string `json:"ciphertext"`
	}
	body := map[string]string{
		"plaintext": base64.StdEncoding.EncodeToString(key), "associated_data": base64.StdEncoding.EncodeToString(about),
	}
	if err := t.ask(ctx, http.MethodPost, "encrypt", body, &said); err != nil {
		return nil, "", fmt.Errorf("encrypt with transit key: %w", err)
	}
	version := cipherForm.FindStringSubmatch(said.Ciphertext)
	if version == nil {
		return nil, "", errors.New("encrypt with transit key: the answer is no ciphertext")
	}
	return []byte(said.Ciphertext), t.prefix() + version[1], nil
}

// Unwrap implements Wrapper.
func (t *Transit) Unwrap(ctx context.Context, id string, wrapped, about []byte) ([]byte, error) {
	if !strings.HasPrefix(id, t.prefix()) {
		return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
	}
	var said struct {
		Plaintext string `json:"plaintext"`
	}
	body := map[string]string{"ciphertext": string(wrapped), "associated_data": base64.StdEncoding.EncodeToString(about)}
	if err := t.ask(ctx, http.MethodPost, "decrypt", body, &said); err != nil {
		var refused *transitRefusal
		if errors.As(err, &refused) && refused.status == http.StatusBadRequest && !refused.config() {
			return nil, fmt.Errorf("%w (%w)", ErrTampered, err)
		}
		return nil, fmt.Errorf("decrypt with transit key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(said.Plaintext)
	if err != nil || len(key) == 0 {
		return nil, errors.New("decrypt with transit key: the answer is no plaintext")
	}
	return key, nil
}

// transitRefusal is the word of the service that it does not do it.
type transitRefusal struct {
	status int
	text   string
}

func (r *transitRefusal) Error() string {
	switch r.status {
	case http.StatusForbidden:
		return "the key service refuses the token, or the token may not use this key (HTTP 403)"
	case http.StatusNotFound:
		return "the key service has no such engine or key (HTTP 404)"
	}
	said := fmt.Sprintf("the key service answers with HTTP %d: %s", r.status, r.text)
	if strings.Contains(r.text, tooNew) {
		said += ": its key was made anew, or put back from an old backup; put back one with all versions"
	}
	return said
}

// tooNew is said of a version of the key that the service does not have.
const tooNew = "version is too new"

// config tells whether a refusal is about the key and not about the ciphertext.
func (r *transitRefusal) config() bool {
	for _, words := range []string{tooNew, "not found", "associated data", "associated_data", "key derivation", "minimum decryption version", "disallowed by policy", "unsupported operation"} {
		if strings.Contains(r.text, words) {
			return true
		}
	}
	return false
}

// transient tells which answers may be others a moment later: the service is
// sealed, on standby, or asked too often.
func transient(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == 472 || status == 473
}

// ask asks the service, again for a while if it does not answer.
func (t *Transit) ask(ctx context.Context, method, what string, body map[string]string, into any) error {
	limit := time.Now().Add(transitPatience)
	for {
		err := t.once(ctx, method, what, body, into)
		var refused *transitRefusal
		if err == nil || errors.As(err, &refused) && !transient(refused.status) || ctx.Err() != nil || time.Now().After(limit) {
			return err
		}
		pause := time.NewTimer(transitPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

func (t *Transit) once(ctx context.Context, method, what string, body map[string]string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, transitTimeout)
	defer cancel()
	req, err := t.request(ctx, method, what, body)
	if err != nil {
		return err
	}
	res, err := t.o.Client.Do(req)
	if err != nil {
		var ofURL *url.Error
		if errors.As(err, &ofURL) {
			err = ofURL.Err
		}
		return fmt.Errorf("ask the key service: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxTransit+1))
	if err != nil || len(text) > maxTransit {
		return fmt.Errorf("ask the key service: its answer cannot be read, or has more than %d bytes: %w", maxTransit, err)
	}
	defer clear(text)
	if res.StatusCode != http.StatusOK {
		var said struct {
			Errors []string `json:"errors"`
		}
		_ = json.Unmarshal(text, &said) // what is no JSON is a proxy's, and says nothing
		words := strings.Join(said.Errors, "; ")
		return &transitRefusal{res.StatusCode, fmt.Sprintf("%.200q", words)}
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Data == nil {
		return errors.New("ask the key service: its answer is not that of a transit engine")
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return errors.New("ask the key service: its answer is not that of a transit engine")
	}
	return nil
}

func (t *Transit) request(ctx context.Context, method, what string, body map[string]string) (*http.Request, error) {
	token, err := t.o.Token()
	if err != nil {
		return nil, fmt.Errorf("read the token of the key service: %w", err)
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, t.o.URL+"/v1/"+t.o.Mount+"/"+what+"/"+url.PathEscape(t.o.Key), content)
	if err != nil {
		return nil, errors.New("ask the key service: its address is none")
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	if t.o.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", t.o.Namespace)
	}
	return req, nil
}
