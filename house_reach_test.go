package dragoman_test

import (
	"go/ast"
	"strings"
)

// network are the names by which code reaches for a network on its own. A client or a transport that is handed in from
// internal/egress does not need them.
var network = map[string]string{
	"net": " Dial DialTimeout DialTCP DialUDP DialUnix DialIP Dialer Resolver DefaultResolver LookupAddr LookupCNAME LookupHost" +
		" LookupIP LookupMX LookupNS LookupPort LookupSRV LookupTXT ",
	"crypto/tls": " Dial DialWithDialer Dialer ",
	"net/http":   " Get Head Post PostForm DefaultClient DefaultTransport Transport ",
	"net/rpc":    " Dial DialHTTP DialHTTPPath ",
	"net/smtp":   " Dial SendMail ",
}

// clients are the literals that reach for a network unless the field that is named here hands them the way.
var clients = map[string]map[string]string{
	"net/http":                                   {"Client": "Transport"},
	"net/http/httputil":                          {"ReverseProxy": "Transport"},
	"github.com/coder/websocket":                 {"DialOptions": "HTTPClient"},
	"github.com/gorilla/websocket":               {"Dialer": "NetDialContext"},
	"github.com/modelcontextprotocol/go-sdk/mcp": {"StreamableClientTransport": "HTTPClient", "SSEClientTransport": "HTTPClient"},
}

// drivers are the names of clients of databases that dial by themselves, and the fields or methods by which the package
// that uses them has to hand them the way. Those without have no such field.
var drivers = map[string]map[string]string{
	"database/sql":                                 {"Open": ""},
	"github.com/jackc/pgx/v5":                      {"Connect": "", "ConnectWithOptions": "", "ParseConfig": "DialFunc LookupFunc"},
	"github.com/jackc/pgx/v5/pgconn":               {"Connect": "", "ParseConfig": "DialFunc LookupFunc"},
	"github.com/jackc/pgx/v5/pgxpool":              {"New": "", "ParseConfig": "DialFunc LookupFunc"},
	"github.com/go-sql-driver/mysql":               {"MySQLDriver": "", "Config": "DialFunc", "NewConfig": "DialFunc", "ParseDSN": "DialFunc"},
	"go.mongodb.org/mongo-driver/v2/mongo/options": {"Client": "SetDialer"},
	"github.com/redis/go-redis/v9": {"Options": "Dialer", "UniversalOptions": "Dialer", "ClusterOptions": "Dialer", "FailoverOptions": "Dialer",
		"RingOptions": "Dialer", "ParseURL": "Dialer", "ParseClusterURL": "Dialer", "ParseFailoverURL": "Dialer"},
	"google.golang.org/grpc": {"NewClient": "WithContextDialer", "Dial": "WithContextDialer", "DialContext": "WithContextDialer"},
}

// bareDrivers finds drivers in packages that do not hand them a way. sql.Open of a database in a file opens no connection.
func (h *tree) bareDrivers() []offence {
	var found []offence
	for _, files := range packages(h.product(true)) {
		if dir := files[0].dir; inside(dir, "internal/egress") || forTests(dir) {
			continue
		}
		named := map[string]bool{}
		for _, s := range files {
			namesOf(s, named)
		}
		for _, s := range files {
			for _, u := range s.uses() {
				ways, listed := drivers[u.path][u.name]
				if !listed || u.path == "database/sql" && named[`"sqlite"`] {
					continue
				}
				if ways == "" {
					found = append(found, h.at(u.node, "%s reaches for the network: configure it with a dialer from internal/egress", u))
				}
				for way := range strings.FieldsSeq(ways) {
					if !named[way] {
						found = append(found, h.at(u.node, "%s without %s reaches for the network: give it one from internal/egress", u, way))
					}
				}
			}
		}
	}
	return found
}

// namesOf collects what a file selects, the keys of its literals, and its texts.
func namesOf(s *source, named map[string]bool) {
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.SelectorExpr:
			named[node.Sel.Name] = true
		case *ast.KeyValueExpr:
			named[typeName(node.Key)] = true
		case *ast.BasicLit:
			named[node.Value] = true
		}
		return true
	})
}

// dialers finds, outside internal/egress and tests, whatever opens connections or asks for names on its own: the names
// of network, clients without a transport, websocket.Dial without options, and drivers without a dialer.
func dialers(h *tree) []offence {
	var found []offence
	for _, s := range h.product(true) {
		if inside(s.dir, "internal/egress") || forTests(s.dir) {
			continue
		}
		uses := s.uses()
		for _, u := range uses {
			if strings.Contains(network[u.path], " "+u.name+" ") {
				found = append(found, h.at(u.node, "%s reaches for the network: take a dialer or client from internal/egress", u))
			}
		}
		found = append(found, h.bareClients(s, uses)...)
	}
	return append(found, h.bareDrivers()...)
}

func (h *tree) bareClients(s *source, uses []use) []offence {
	named := map[ast.Expr]use{}
	for _, u := range uses {
		named[u.node] = u
	}
	var found []offence
	bare := func(node ast.Node, of ast.Expr, fields []ast.Expr) {
		u := named[of]
		field := clients[u.path][u.name]
		if field != "" && !sets(fields, field) {
			found = append(found, h.at(node, "%s without %s reaches for the network: give it one from internal/egress", u, field))
		}
	}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CompositeLit:
			bare(node, node.Type, node.Elts)
		case *ast.ValueSpec:
			if len(node.Values) == 0 && node.Type != nil {
				bare(node, node.Type, nil)
			}
		case *ast.CallExpr:
			if name, ok := node.Fun.(*ast.Ident); ok && name.Name == "new" && len(node.Args) == 1 {
				bare(node, node.Args[0], nil)
			}
			if u := named[node.Fun]; strings.HasSuffix(u.path, "/websocket") && u.name == "Dial" && typeName(node.Args[len(node.Args)-1]) == "nil" {
				found = append(found, h.at(node, "websocket.Dial without options reaches for the network: give it an HTTPClient from internal/egress"))
			}
		}
		return true
	})
	return found
}

// sets says whether a literal gives its field a value.
func sets(elements []ast.Expr, field string) bool {
	for _, element := range elements {
		pair, ok := element.(*ast.KeyValueExpr)
		if ok && typeName(pair.Key) == field && typeName(pair.Value) != "nil" {
			return true
		}
	}
	return false
}

// processes are the names by which code starts a process. Looking for a program (exec.LookPath) starts none.
var processes = map[string]string{
	"os/exec":               " Command CommandContext Cmd ",
	"os":                    " StartProcess ",
	"syscall":               " ForkExec Exec StartProcess ",
	"golang.org/x/sys/unix": " Exec ",
	"github.com/modelcontextprotocol/go-sdk/mcp": " CommandTransport ",
}

func starters(h *tree) []offence {
	var found []offence
	for _, s := range h.product(true) {
		if inside(s.dir, "internal/supervisor") || forTests(s.dir) {
			continue
		}
		for _, u := range s.uses() {
			if strings.Contains(processes[u.path], " "+u.name+" ") {
				found = append(found, h.at(u.node, "%s starts a process: only internal/supervisor does", u))
			}
		}
	}
	return found
}

func inside(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }
