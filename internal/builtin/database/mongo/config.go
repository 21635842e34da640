package mongo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const (
	connectLimit = 10 * time.Second
	// selectLimit is how long a server is looked for that takes calls.
	selectLimit = 3 * time.Second
	idleLimit   = 5 * time.Minute
)

// parameters are those of a URL that may be given. Others of the driver read
// files, start programs, look up names or fetch credentials past our network.
const parameters = `authsource authmechanism replicaset directconnection readpreference maxstalenessseconds tls ssl tlsinsecure readconcernlevel w
 retryreads retrywrites`

// mechanisms log in with what is in the URL, and ask nobody else.
const mechanisms = `scram-sha-256 scram-sha-1 plain`

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d(ctx, network, address)
}

// nowhere is the transport of what the driver fetches by HTTP, which is nothing.
type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("the driver asked for %s, which is not let through", r.URL.Host)
}

// configure reads a URL, and returns the name of the database with what the
// driver is told.
func configure(o Options) (string, *options.ClientOptions, error) {
	if strings.HasPrefix(o.DSN, "mongodb+srv://") {
		return "", nil, errors.New("write the hosts out, as mongodb://a.example:27017,b.example:27017/database?replicaSet=NAME&tls=true: mongodb+srv looks them up past the rules of reach. nslookup -type=SRV _mongodb._tcp.HOST lists them, -type=TXT HOST what comes after the ?")
	}
	rest, is := strings.CutPrefix(o.DSN, "mongodb://")
	hosts, path, _ := strings.Cut(rest, "/")
	name, query, _ := strings.Cut(path, "?")
	name, err := url.PathUnescape(name)
	if !is || err != nil || hosts == "" || name == "" || strings.ContainsAny(name, `/\. "$`+"\x00") {
		return "", nil, errors.New("it is no URL like mongodb://user:password@host:27017/database")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, errors.New("the part after ? is not name=value&name=value")
	}
	encrypt := false
	for key, given := range values {
		if !engine.Listed(parameters, strings.ToLower(key)) {
			return "", nil, fmt.Errorf("the parameter %q is not among those that are let through: %s", key, strings.Join(strings.Fields(parameters), ", "))
		}
		if strings.EqualFold(key, "authMechanism") && !engine.Listed(mechanisms, strings.ToLower(given[0])) {
			return "", nil, fmt.Errorf("authMechanism may be SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN")
		}
		if o.TLS != nil && engine.Listed("tls ssl tlsinsecure", strings.ToLower(key)) && !(given[0] == "true" && !strings.EqualFold(key, "tlsInsecure")) {
			return "", nil, fmt.Errorf("take %s out of the URL: tls of the source says how the server is verified, and it always is", key)
		}
		encrypt = encrypt || strings.EqualFold(key, "tls") || strings.EqualFold(key, "ssl")
	}
	c := options.Client().ApplyURI(o.DSN)
	if err := c.Validate(); err != nil {
		return "", nil, errors.New("it is no URL that the driver takes: " + withoutSecrets(err, c))
	}
	c.SetDialer(dialer(o.Dial)).SetAppName("dragoman").SetMaxPoolSize(uint64(max(o.MaxConns, 1))).SetMaxConnIdleTime(idleLimit).
		SetConnectTimeout(connectLimit).SetServerSelectionTimeout(selectLimit).SetServerMonitoringMode("poll").
		SetHTTPClient(&http.Client{Transport: nowhere{}}).SetDisableOCSPEndpointCheck(true)
	if o.TLS != nil {
		c.SetTLSConfig(o.TLS.Clone()) // of which the driver completes the name for each host
	} else if !encrypt && !here(c.Hosts) {
		c.SetTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}) // to another machine in the open only when told
	}
	if err := c.Validate(); err != nil {
		return "", nil, fmt.Errorf("check what the driver is told: %w", err)
	}
	return name, c, nil
}

func withoutSecrets(err error, c *options.ClientOptions) string {
	text := err.Error()
	if c.Auth != nil && c.Auth.Password != "" {
		text = strings.ReplaceAll(text, c.Auth.Password, "...")
	}
	return text
}

func here(hosts []string) bool {
	for _, address := range hosts {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
