package credential_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
)

// webServer has the pages of a broker, which has to know its address before it is there.
type webServer struct {
	*httptest.Server
	mux atomic.Pointer[http.ServeMux]
}

func newWebServer(t *testing.T) *webServer {
	w := &webServer{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.mux.Load().ServeHTTP(rw, r) }))
	t.Cleanup(w.Close)
	return w
}

func (w *webServer) serve(b *credential.Broker) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+credential.PathLogin, b.Login)
	mux.HandleFunc("POST "+credential.PathLogin, b.Login)
	mux.HandleFunc("GET "+credential.PathCallback, b.Callback)
	mux.HandleFunc("GET "+credential.PathClient, b.Client)
	w.mux.Store(mux)
}
