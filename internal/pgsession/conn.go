package pgsession

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/stream"
)

// Conn is a parsed connection string: a URL or key=value pairs as libpq takes
// them, filled in from the PG* environment, the service file and .pgpass.
type Conn struct {
	config *pgconn.Config
	text   string // as given, without its passwords
	// keyPassword is the sslpassword that the string or PGSSLPASSWORD gave; service says that a service file has a say.
	keyPassword string
	service     bool
	seen        atomic.Pointer[string] // the TLS version of the last connection; see Security

	// Password, where it isn't nil, is asked for a password before each connection: for tokens that
	// expire.
	Password func(context.Context) (string, error)
	// StandStill is how long a connection may wait without a byte before the server is asked whether
	// it lives; two minutes where it is 0. See watch.
	StandStill time.Duration
	minted     atomic.Pointer[string] // what Password returned last, for scrub; see Authenticate
}

// ours are the parameters of libpq that pgx would send to the server as settings.
// True: pgmove can leave it out without weakening what the user asked for.
var ours = map[string]bool{
	"keepalives": true, "keepalives_idle": true, "keepalives_interval": true, "keepalives_count": true,
	"tcp_user_timeout": true, "gssencmode": true, "gsslib": true, "gssdelegation": true, "sslcompression": true,
	"fallback_application_name": true, "load_balance_hosts": true,
	"ssl_min_protocol_version": false, "ssl_max_protocol_version": false,
	"sslcrl": false, "sslcrldir": false, "requirepeer": false, "replication": false, "sslkeylogfile": false, "hostaddr": false,
}

// variables are those of libpq that pgx doesn't know, and that would weaken or redirect a connection if they
// were passed over: pg_dump heeds them. The function says which values do no harm.
var variables = map[string]func(string) bool{
	"PGHOSTADDR": never, "PGREQUIREPEER": never, "PGSSLCRL": never, "PGSSLCRLDIR": never, "PGSSLMAXPROTOCOLVERSION": never,
	"PGSSLMINPROTOCOLVERSION": func(v string) bool { return v == "TLSv1" || v == "TLSv1.1" || v == "TLSv1.2" }, // pgx's own least is 1.2
	"PGGSSENCMODE":            func(v string) bool { return v != "require" },
}

func never(string) bool { return false }

// unsupported returns the variable of the environment that asks for what pgmove can't do, "" for none.
func unsupported() string {
	for _, k := range slices.Sorted(maps.Keys(variables)) {
		if v := os.Getenv(k); v != "" && !variables[k](v) {
			return k
		}
	}
	return ""
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
	if k := unsupported(); k != "" {
		return nil, stream.Fail(stream.Usage, "pgmove does not support %s, and does not pass it over", k).WithHint("unset it for pgmove")
	}
	c := &Conn{config: cfg}
	var gone map[string]string
	c.text, gone = withoutPassword(s)
	c.keyPassword = cmp.Or(gone["sslpassword"], os.Getenv("PGSSLPASSWORD"))
	c.service = os.Getenv("PGSERVICE") != "" || hasService.MatchString(c.text)
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
		case !harmless, k == "gssencmode" && cfg.RuntimeParams[k] == "require":
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

// fresh is the configuration of a new connection. Host names are looked up for each connection anew: after a failover
// the same name is another server.
func (c *Conn) fresh(ctx context.Context) (*pgconn.Config, error) {
	cfg := c.config.Copy()
	if c.Password == nil {
		return cfg, nil
	}
	p, err := c.Password(ctx)
	if err != nil {
		f := &stream.Failure{Kind: stream.Denied, Object: c.Name(), Msg: "no password could be had for it", Err: err}
		if k := stream.KindOf(err); k != stream.Failed {
			f.Kind = k
		}
		return nil, f
	}
	cfg.Password = p
	return cfg, nil
}

// Text is the connection string as it was given, without its password.
func (c *Conn) Text() string { return c.text }

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

func (c *Conn) scrub(err error) error {
	var cerr *pgconn.ConnectError
	s := err.Error()
	if errors.As(err, &cerr) && cerr.Unwrap() != nil {
		s = cerr.Unwrap().Error()
	}
	for _, p := range []string{c.config.Password, c.keyPassword, c.lastMinted()} {
		if p != "" {
			s = strings.ReplaceAll(s, p, "(password)")
		}
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

// hasService finds a service in a string whose passwords are out.
var hasService = regexp.MustCompile(`(?:^|[?&\s])service\s*=`)

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
