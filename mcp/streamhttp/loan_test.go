package streamhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// Large answers are read into memory that is used again. Under the race
// detector, memory that is used again too early is a race; without it, a
// caller sees what is another's.
func TestLargeAnswersAreNobodyElses(t *testing.T) {
	far := httptest.NewServer(streamhttp.NewServer(mcp.HandlerFunc(echoLarge), nil, streamhttp.ServerOptions{}))
	defer far.Close()
	client := streamhttp.NewClient(streamhttp.ClientOptions{URL: far.URL, Transport: far.Client().Transport})
	server := streamhttp.NewServer(client, nil, streamhttp.ServerOptions{})
	defer server.Close()
	near := httptest.NewServer(server)
	defer near.Close()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for n := range 20 {
				secret := fmt.Sprintf("<%d.%d>", worker, n)
				size := (worker%4 + 1) * (n%3 + 1) * 100_000 * (n % 5) / 4 // below and above the least that is lent
				if err := askLarge(t.Context(), near, secret, size, n%7 == 6); err != nil {
					t.Errorf("call %s of %d bytes: %v", secret, size, err)
				}
			}
		})
	}
	group.Wait()
}

// echoLarge answers with as much of the secret as is asked for.
func echoLarge(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	arguments, _ := jsonrpc.Split(req.Params.Get("arguments"))
	secret, _ := arguments.String("secret")
	var size int
	if _, err := fmt.Sscan(string(arguments.Get("size")), &size); err != nil {
		return mcp.Result{}, err
	}
	text := `{"resultType":"complete","content":[{"type":"text","text":"` + strings.Repeat(secret, size/len(secret)+1) + `"}]}`
	return mcp.RawResult([]byte(text)), nil
}

// askLarge calls, and leaves in mid-answer if it is hasty.
func askLarge(ctx context.Context, s *httptest.Server, secret string, size int, hasty bool) error {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"secret":%q,"size":%d},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, secret, size)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo",
	} {
		req.Header.Set(name, value)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if hasty {
		_, err := io.CopyN(io.Discard, resp.Body, 1000)
		return err
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	want := strings.Repeat(secret, size/len(secret)+1)
	if _, rest, ok := bytes.Cut(got, []byte(`"text":"`)); !ok || !bytes.HasPrefix(rest, []byte(want)) {
		return errors.New("the answer is another's: " + string(got[:min(len(got), 200)]))
	}
	return nil
}
