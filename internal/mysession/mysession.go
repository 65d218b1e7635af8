// Package mysession opens MySQL and MariaDB sessions, for the source and for the target
// alike: it reads connection strings, pins the settings that decide how values and
// definitions are written, and turns the server's refusals into failures that a user
// can act on.
//
// It imports the driver and the stream package's failures. It passes a user's data on without
// a look at it, and never puts a password into an error.
package mysession

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/stream"
)

// Version is a server's version.
type Version struct {
	MariaDB bool
	// Num orders versions, ten thousand to what PostgreSQL would call a major one: 10110019 is
	// 10.11.19, 8040002 is 8.4.2.
	Num int
	// Text is the version as the server writes it.
	Text string
}

// Name is the server's name and version for people to read.
func (v Version) Name() string {
	plain, _, _ := strings.Cut(v.Text, "-")
	if v.MariaDB {
		return "MariaDB " + plain
	}
	return "MySQL " + plain
}

// parseVersion reads what VERSION() returns. Servers behind old proxies put 5.5.5- before MariaDB's.
func parseVersion(s string) (Version, error) {
	v := Version{MariaDB: strings.Contains(strings.ToLower(s), "mariadb"), Text: strings.TrimPrefix(s, "5.5.5-")}
	plain, _, _ := strings.Cut(v.Text, "-")
	parts := strings.Split(plain, ".")
	for i := range 3 {
		n := 0
		if i < len(parts) {
			var err error
			if n, err = strconv.Atoi(parts[i]); err != nil || n < 0 || n > 9999 {
				return Version{}, fmt.Errorf("the server's version is no version: %s", stream.Text(s).Display())
			}
		}
		v.Num = v.Num*[]int{1, 100, 10000}[i] + n
	}
	return v, nil
}

// Session is one connection with pinned settings. It is one goroutine's at a time.
type Session struct {
	conn driver.Conn
	net  *conn // below the driver, and below TLS
	opts Options
	from *Conn
	// ID is the server's number of the connection.
	ID uint64
	// Backend is what of it is on the server.
	Backend Backend
	// Version is the server's.
	Version Version
}

// Options says what a session is for.
type Options struct {
	Role Role
	// Patience is how long an unreachable server is tried again, 0 for not at all.
	Patience time.Duration
}

// Connect opens a session. Its errors are Failures: Outage for a server that can't be reached, Denied for a
// refused login, Preflight for a database that doesn't exist.
func Connect(ctx context.Context, c *Conn, o Options) (*Session, error) {
	return stream.Patiently(ctx, o.Patience, func() (*Session, error) { return connect(ctx, c, o) })
}

func connect(ctx context.Context, c *Conn, o Options) (*Session, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	s.opts = o
	pinning, cancel := context.WithTimeout(ctx, c.timeout) // nobody watches it yet
	defer cancel()
	if err := s.pin(pinning); err != nil {
		s.End()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.explain(err)
	}
	go c.watch(s.net, s.Backend)
	return s, nil
}

// open opens a session as the server gives it.
func (c *Conn) open(ctx context.Context) (*Session, error) {
	cfg := c.config()
	var below *conn
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		below = &conn{Conn: nc, closed: make(chan struct{})}
		return below, nil
	}
	version := "" // stays so where the server offers no TLS and none is asked for
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		verify := cfg.TLS.VerifyConnection
		cfg.TLS.VerifyConnection = func(s tls.ConnectionState) error {
			version = tls.VersionName(s.Version)
			if verify == nil {
				return nil
			}
			return verify(s)
		}
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, c.explain(err)
	}
	greeting, cancel := context.WithTimeout(ctx, c.timeout) // the driver's own is for the network's connection alone
	defer cancel()
	dc, err := connector.Connect(greeting)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.explain(err)
	}
	c.seen.Store(&version)
	return &Session{conn: dc, net: below, from: c}, nil
}

// config is the driver's configuration. It allows no form of LOAD DATA that reads a file, and no statement within another.
func (c *Conn) config() *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = c.user, c.password, c.database
	cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(c.host, strconv.Itoa(c.port))
	if c.socket != "" {
		cfg.Net, cfg.Addr = "unix", c.socket
	}
	cfg.TLS = c.tls
	cfg.AllowFallbackToPlaintext = c.mode == prefer
	cfg.AllowCleartextPasswords = c.mode >= verifyCA // tokens of cloud services come so
	cfg.Timeout = c.timeout
	cfg.MaxAllowedPacket = 1 << 30
	cfg.Collation = "utf8mb4_general_ci"
	cfg.Logger = &mysql.NopLogger{}
	cfg.ConnectionAttributes = "program_name:pgmove"
	// Half a minute between probes keeps a NAT gateway (350 s on AWS) from forgetting us.
	d := &net.Dialer{Timeout: c.timeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}}
	cfg.DialFunc = d.DialContext
	return cfg
}

func (s *Session) pin(ctx context.Context) error {
	r, err := s.Row(ctx, "SELECT VERSION(), CONNECTION_ID()")
	if err != nil {
		return err
	}
	if s.Version, err = parseVersion(r[0]); err != nil {
		return err
	}
	if s.ID, err = strconv.ParseUint(r[1], 10, 64); err != nil {
		return fmt.Errorf("the connection's ID: %w", err)
	}
	if err := s.sign(ctx); err != nil {
		return err
	}
	for _, q := range PinStatements(s.opts.Role, s.Version) {
		if err := s.Do(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Do runs one statement, with no rows to return.
func (s *Session) Do(ctx context.Context, sql string) error {
	_, err := s.Exec(ctx, sql)
	return err
}

// Exec runs one statement and returns how many rows it says that it affected.
func (s *Session) Exec(ctx context.Context, sql string) (int64, error) {
	r, err := s.conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
	if err != nil {
		return 0, s.cause(ctx, err)
	}
	return r.RowsAffected()
}

// Query runs one statement and hands out its rows as the driver reads them: []byte, which the next row
// overwrites, or a number.
func (s *Session) Query(ctx context.Context, sql string) (driver.Rows, error) {
	rows, err := s.conn.(driver.QueryerContext).QueryContext(ctx, sql, nil)
	if err != nil {
		return nil, s.cause(ctx, err)
	}
	return rows, nil
}

// cause prefers why ctx ended to what the driver says of it.
func (s *Session) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && Lost(err) {
		return context.Cause(ctx)
	}
	return err
}

// Lives reports whether the session's connection is, as far as known here, not gone.
func (s *Session) Lives() bool {
	v, ok := s.conn.(driver.Validator)
	return !ok || v.IsValid()
}

// End closes the session. A server that takes nothing any more is told goodbye for five seconds at the most.
func (s *Session) End() {
	_ = s.net.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_ = s.conn.Close()
}

// Cut breaks the connection, from any goroutine; what runs on it fails.
func (s *Session) Cut() { _ = s.net.Close() }

var errNoRow = errors.New("the server returned no row")
