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
	if err != nil {
		return nil, notParsed(s, errors.Unwrap(err))
	}
	if _, rest, ok := strings.Cut(s, "://"); ok && strings.HasPrefix(s, "postgres") {
		path, _, _ := strings.Cut(rest, "?")
		if i := strings.IndexAny(path, "@/"); i >= 0 && path[i] == '/' && strings.Contains(path, "@") {
			return nil, notParsed(s, nil) // to libpq a database's name, to its writer a password with a slash
		}
	}
	c := &Conn{config: cfg, text: withoutPassword(s)}
	for k := range cfg.RuntimeParams {
		if !setting.MatchString(k) {
			// Most likely a password with a "?" in it: nothing of it is shown.
			return nil, notParsed(s, nil)
		}
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

// setting matches the names of the server's settings.
var setting = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$.]*$`)

// quoted matches what an error quotes.
var quoted = regexp.MustCompile("\"[^\"]*\"|`[^`]*`")

// private begins what may hold a password: parameters, and those of that name.
var private = regexp.MustCompile(`(?i)\?|pass`)

// notParsed is the failure for a string that is none. What is wrong with it may be its password,
// so only what can be none is shown: what follows the last "@", without parameters.
func notParsed(s string, err error) error {
	shown := s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		shown = "…" + s[i:]
	}
	if at := private.FindStringIndex(shown); at != nil {
		shown = shown[:at[0]] + "…"
	}
	// A URL's user and password before a missing "@".
	if _, rest, ok := strings.Cut(shown, "://"); ok && strings.Contains(rest, ":") {
		shown = "…"
	}
	if err != nil && quoted.MatchString(err.Error()) && shown != s {
		err = nil // it may quote the password
	}
	if err == nil || strings.Contains(err.Error(), s) {
		err = errors.New("it is neither a postgres:// URL nor key=value pairs; in a URL's password, special characters are written as %40 for @, %3F for ?")
	}
	return (&stream.Failure{Kind: stream.Usage, Object: stream.Text(shown).Display(), Msg: "not a connection string", Err: err}).
		WithHint("write postgres://user@host:5432/database or host=… dbname=…")
}

// isSecret names the parameters that hold passwords.
func isSecret(key string) bool {
	k := strings.ToLower(key)
	return k == "password" || k == "sslpassword"
}

// pairsWithoutPassword takes the passwords out of key=value pairs that were parsed before.
func pairsWithoutPassword(s string) string {
	var keep []string
	for {
		s = strings.TrimLeft(s, " \t\n\r\f\v")
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return strings.Join(keep, " ")
		}
		v := strings.TrimLeft(rest, " \t\n\r\f\v")
		end, inQuotes := 0, strings.HasPrefix(v, "'")
		for i := 0; i < len(v); i++ {
			end = i + 1
			if v[i] == '\\' {
				i++
				end = min(i+1, len(v))
			} else if inQuotes && i > 0 && v[i] == '\'' {
				break
			} else if !inQuotes && strings.IndexByte(" \t\n\r\f\v", v[i]) >= 0 {
				end = i
				break
			}
		}
		key = strings.TrimRight(key, " \t\n\r\f\v")
		if !isSecret(key) {
			keep = append(keep, key+"="+v[:end])
		}
		s = v[end:]
	}
}

// withoutPassword takes the password out of a connection string that was parsed before.
func withoutPassword(s string) string {
	if !strings.HasPrefix(s, "postgres://") && !strings.HasPrefix(s, "postgresql://") {
		return pairsWithoutPassword(s)
	}
	// By hand and not by net/url, whose rules are others than libpq's.
	scheme, rest, _ := strings.Cut(s, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		user, _, _ := strings.Cut(rest[:i], ":")
		scheme, rest = scheme+"://"+user, rest[i:]
	} else {
		scheme += "://"
	}
	rest, query, _ := strings.Cut(rest, "?")
	var keep []string
	for _, kv := range strings.Split(query, "&") {
		k, _, _ := strings.Cut(kv, "=")
		if u, err := url.PathUnescape(k); err == nil {
			k = u
		}
		if kv != "" && !isSecret(strings.TrimSpace(k)) {
			keep = append(keep, kv)
		}
	}
	if len(keep) > 0 {
		rest += "?" + strings.Join(keep, "&")
	}
	return scheme + rest
}
