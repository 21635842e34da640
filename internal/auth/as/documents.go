package as

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// How clients' metadata documents are fetched. Anybody can make us fetch one, by
// sending a browser here, so there is little to be had by it.
const (
	documentTTL     = 10 * time.Minute
	documentFailure = 30 * time.Second // for how long a failure is remembered
	documentTimeout = 5 * time.Second
	maxDocument     = 64 << 10 // bytes
	maxDocuments    = 1000     // remembered
	fetchesAtOnce   = 4
)

// documents are the metadata documents of clients (Client ID Metadata Documents,
// draft-ietf-oauth-client-id-metadata-document).
type documents struct {
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	places chan struct{} // one for each fetch at once

	mu    sync.Mutex // guards known
	known map[string]document
}

type document struct {
	client client
	err    error
	until  time.Time
}

func newDocuments(o Options) *documents {
	return &documents{client: o.Client, now: o.Now, log: o.Log, places: make(chan struct{}, fetchesAtOnce), known: make(map[string]document)}
}

func (d *documents) get(ctx context.Context, id string) (client, error) {
	d.mu.Lock()
	found, ok := d.known[id]
	d.mu.Unlock()
	if ok && d.now().Before(found.until) {
		return found.client, found.err
	}
	if err := checkDocumentURL(id); err != nil {
		return client{}, err
	}
	wait := time.NewTimer(documentTimeout)
	defer wait.Stop()
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	case <-wait.C:
		return client{}, fmt.Errorf("%w: too many metadata documents are being fetched, try again", errClient)
	case <-ctx.Done():
		return client{}, ctx.Err()
	}
	c, err := d.fetch(ctx, id)
	if ctx.Err() != nil {
		return client{}, ctx.Err()
	}
	ttl := documentTTL
	if err != nil {
		ttl = documentFailure
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxDocuments {
		clear(d.known)
	}
	d.known[id] = document{c, err, d.now().Add(ttl)}
	return c, err
}

// checkDocumentURL holds an id to the form that the draft gives it.
func checkDocumentURL(id string) error {
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Contains(id, "#") || strings.Trim(u.Path, "/") == "" {
		return fmt.Errorf("%w: its id is no https address with a path", errClient)
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if segment == "." || segment == ".." || strings.EqualFold(segment, "%2e") || strings.EqualFold(segment, "%2e%2e") {
			return fmt.Errorf("%w: its id has %s in its path", errClient, segment)
		}
	}
	return nil
}

func (d *documents) fetch(ctx context.Context, id string) (client, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return client{}, fmt.Errorf("%w: its id is no address", errClient)
	}
	req.Header.Set("Accept", "application/json")
	res, err := d.client.Do(req)
	if err != nil {
		// Why is for the log: it tells what can be reached from here.
		d.log.InfoContext(ctx, "metadata document of client cannot be fetched", "client", id, "err", err)
		return client{}, fmt.Errorf("%w: its metadata document cannot be fetched", errClient)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return client{}, fmt.Errorf("%w: its metadata document is answered with status %d", errClient, res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil || len(data) > maxDocument {
		return client{}, fmt.Errorf("%w: its metadata document cannot be read, or has more than %d bytes", errClient, maxDocument)
	}
	return readDocument(id, data)
}

func readDocument(id string, data []byte) (client, error) {
	var c struct {
		client
		Method string          `json:"token_endpoint_auth_method"`
		Secret json.RawMessage `json:"client_secret"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return client{}, fmt.Errorf("%w: its metadata document is not JSON of the right form", errClient)
	}
	if c.ID != id {
		return client{}, fmt.Errorf("%w: its metadata document is of another client", errClient)
	}
	if c.Method != "" && c.Method != "none" || c.Secret != nil {
		return client{}, fmt.Errorf("%w: it wants to show a secret or a key, and only clients without are known here (token_endpoint_auth_method none)", errClient)
	}
	u, err := url.Parse(id)
	if err != nil {
		return client{}, errors.Join(errClient, err)
	}
	c.Website = u.Host
	return c.client, c.check()
}
