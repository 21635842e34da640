package egress

import (
	"crypto/tls"
	"net/http"
)

// fallback is net/http's Transport, for what our own client does not do: going
// through a proxy, and HTTP/2 with peers that speak nothing else.
type fallback struct{ transport *http.Transport }

func (n *Network) newFallback(l Limits, settings *tls.Config) *fallback {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &fallback{transport: &http.Transport{
		Proxy:                  n.o.Proxy,
		DialContext:            n.dialTCP,
		TLSClientConfig:        settings.Clone(),
		TLSHandshakeTimeout:    n.o.DialTimeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    l.IdlePerHost,
		MaxConnsPerHost:        l.ConnsPerHost,
		IdleConnTimeout:        l.IdleTimeout,
		MaxResponseHeaderBytes: int64(n.o.MaxHeadBytes),
		Protocols:              protocols,
	}}
}

// RoundTrip sends req, with our name if it brings none.
func (f *fallback) RoundTrip(req *http.Request, userAgent string) (*http.Response, error) {
	if req.Header["User-Agent"] == nil {
		named := *req
		named.Header = req.Header.Clone()
		if named.Header == nil {
			named.Header = make(http.Header, 1)
		}
		named.Header.Set("User-Agent", userAgent)
		req = &named
	}
	return f.transport.RoundTrip(req)
}

func (f *fallback) close() { f.transport.CloseIdleConnections() }
