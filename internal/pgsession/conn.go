package pgsession

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/stream"
)

// Conn is a parsed connection string: a URL or key=value pairs as libpq takes
// them, filled in from the PG* environment, the service file and .pgpass.
type Conn struct {
	config *pgconn.Config
	text   string // as given, without its password
}

// ours are the parameters of libpq that pgx would send to the server as settings.
// True: pgmove can leave it out without weakening what the user asked for.
var ours = map[string]bool{
	"keepalives": true, "keepalives_idle": true, "keepalives_interval": true, "keepalives_count": true,
	"tcp_user_timeout": true, "gssencmode": true, "gsslib": true, "gssdelegation": true, "sslcompression": true,
	"fallback_application_name": true, "load_balance_hosts": true,
	"ssl_min_protocol_version": false, "ssl_max_protocol_version": false,
	"sslcrl": false, "sslcrldir": false, "requirepeer": false, "replication": false, "sslkeylogfile": false,
}

// Parse reads a connection string. Its errors are Failures of kind Usage and
// show no password.
func Parse(s string) (*Conn, error) {
	cfg, err := pgconn.ParseConfig(s)
	c := &Conn{config: cfg, text: withoutPassword(s)}
	if err != nil {
		if m := errors.Unwrap(err); m != nil && !strings.Contains(m.Error(), s) {
			err = m
		} else {
			err = errors.New("it is neither a postgres:// URL nor key=value pairs, or names a file or service that is not there")
		}
		return nil, (&stream.Failure{Kind: stream.Usage, Object: c.text, Msg: "not a connection string", Err: err}).
			WithHint("write postgres://user@host:5432/database or host=… dbname=…")
	}
	for k := range cfg.RuntimeParams {
		harmless, known := ours[k]
		switch {
		case !known:
			continue
		case !harmless:
			return nil, (&stream.Failure{Kind: stream.Usage, Object: c.Name(), Msg: "pgmove does not support the parameter " + k}).
				WithHint("leave it out of the connection string")
		}
		if k == "fallback_application_name" && cfg.RuntimeParams["application_name"] == "" {
			cfg.RuntimeParams["application_name"] = cfg.RuntimeParams[k]
		}
		delete(cfg.RuntimeParams, k)
	}
	// The session is pinned to its own encoding after it is open.
	delete(cfg.RuntimeParams, "client_encoding")
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "pgmove"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 15 * time.Second
	}
	// Half a minute between probes keeps a NAT gateway (350 s on AWS) from forgetting us.
	d := &net.Dialer{Timeout: cfg.ConnectTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}}
	cfg.DialFunc = d.DialContext
	return c, nil
}

// Name is the connection's host and database for messages; no user, no password.
func (c *Conn) Name() string {
	if c.config == nil {
		return c.text
	}
	h := c.config.Host
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	return h + ":" + strconv.Itoa(int(c.config.Port)) + "/" + stream.Text(c.Database()).Display()
}

// Database is the name of the database.
func (c *Conn) Database() string {
	if c.config.Database == "" {
		return c.config.User
	}
	return c.config.Database
}

// User is the role.
func (c *Conn) User() string { return c.config.User }

// TLS reports whether the connection is encrypted if the server can.
func (c *Conn) TLS() bool { return c.config.TLSConfig != nil }

// ToolArgs returns what a libpq program needs to connect as c does: the value of
// its --dbname, without the password, and the environment that carries it.
func (c *Conn) ToolArgs() (dbname string, env []string) {
	if c.config.Password != "" {
		env = append(env, "PGPASSWORD="+c.config.Password)
	}
	return c.text, env
}

func (c *Conn) scrub(err error) error {
	var cerr *pgconn.ConnectError
	s := err.Error()
	if errors.As(err, &cerr) && cerr.Unwrap() != nil {
		s = cerr.Unwrap().Error()
	}
	if p := c.config.Password; p != "" {
		s = strings.ReplaceAll(s, p, "(password)")
	}
	// With and without TLS the same host says the same.
	var said []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.Join(strings.Fields(l), " "); l != "" && !slices.Contains(said, l) {
			said = append(said, l)
		}
	}
	return errors.New(strings.Join(said, "; "))
}

var keyPassword = regexp.MustCompile(`(^|\s)(password|sslpassword)\s*=\s*('(\\.|[^'\\])*'|(\\.|[^\s\\])*)`)

// withoutPassword takes the password out of a connection string.
func withoutPassword(s string) string {
	if !strings.HasPrefix(s, "postgres://") && !strings.HasPrefix(s, "postgresql://") {
		return strings.TrimSpace(keyPassword.ReplaceAllString(s, "$1"))
	}
	scheme, rest, _ := strings.Cut(s, "://")
	// By hand and not by net/url: a string with several hosts is no URL to it.
	query := ""
	if i := strings.IndexByte(rest, '?'); i >= 0 {
		rest, query = rest[:i], rest[i+1:]
	}
	authority := rest
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user := rest[:i]
		if j := strings.IndexByte(user, ':'); j >= 0 {
			user = user[:j]
		}
		authority = user + rest[i:]
	}
	var keep []string
	for _, kv := range strings.Split(query, "&") {
		k, _, _ := strings.Cut(kv, "=")
		if u, err := url.QueryUnescape(k); err == nil {
			k = u
		}
		if kv != "" && k != "password" && k != "sslpassword" {
			keep = append(keep, kv)
		}
	}
	out := scheme + "://" + authority
	if len(keep) > 0 {
		out += "?" + strings.Join(keep, "&")
	}
	return out
}
