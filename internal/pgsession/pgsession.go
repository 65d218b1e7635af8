// Package pgsession opens PostgreSQL sessions, for the source and for the target
// alike: it reads connection strings as libpq does, pins the settings that
// decide how values are written, neutralises timeouts, and turns the server's
// refusals into failures that a user can act on.
//
// It imports pgx and the stream package's failures. It passes a user's data on without a look at
// it, and never puts a password into an error.
package pgsession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/stream"
)

// Session is one connection with pinned settings.
type Session struct {
	*pgconn.PgConn
	// VersionNum is the server's version as it counts it: 150020 for 15.20.
	VersionNum int
	// Version is the server's version as people write it.
	Version string
	// SearchPath is what the role's search_path was before it was pinned.
	SearchPath string
	// Encoding is the database's encoding.
	Encoding string
	// Backend is the server's process.
	Backend Backend
	answers time.Duration // see Alive
}

// Options says what a session is for.
type Options struct {
	// Encoding is the client encoding; "" for the database's own.
	Encoding string
	// ReadOnly makes transactions read-only by default.
	ReadOnly bool
	// OwnOnly has the server refuse to expand views and foreign tables of users, where it can: a sequence or table that is
	// swapped for a view between its listing and its reading would run its owner's code with our rights.
	OwnOnly bool
	// Notice gets the server's notices and warnings; it may be nil.
	Notice func(*pgconn.Notice)
	// Patience is how long an unreachable server is tried again, 0 for not at all.
	Patience time.Duration
}

// pinned are the settings of every session, with the first server version that
// knows each. They make values print the same whatever the role, the database or
// the server is set to, and keep foreign names out of the way of built-in ones.
var pinned = []struct {
	name, value string
	since       int
}{
	{"search_path", "", 0},
	{"row_security", "off", 90500},
	{"datestyle", "ISO, YMD", 0},
	{"intervalstyle", "postgres", 80400},
	{"timezone", "UTC", 0},
	{"extra_float_digits", "3", 0},
	{"bytea_output", "hex", 90000},
	{"xmloption", "content", 0},
	{"standard_conforming_strings", "on", 0},
	{"check_function_bodies", "off", 0},
	{"client_min_messages", "warning", 0},
	{"default_transaction_read_only", "off", 0},
	{"default_transaction_isolation", "read committed", 0},
	{"default_transaction_deferrable", "off", 90100},
	{"statement_timeout", "0", 0},
	{"lock_timeout", "0", 90300},
	{"idle_in_transaction_session_timeout", "0", 90600},
	{"idle_session_timeout", "0", 140000},
	{"transaction_timeout", "0", 170000},
	{"default_tablespace", "", 0},
	{"synchronize_seqscans", "off", 80300},
	{"quote_all_identifiers", "off", 90100},
	{"array_nulls", "on", 0},
}

// Pins returns the settings that a session on a server of the version gets.
func Pins(versionNum int, encoding string) map[string]string {
	m := map[string]string{"client_encoding": encoding}
	for _, p := range pinned {
		if versionNum >= p.since {
			m[p.name] = p.value
		}
	}
	return m
}

// Connect opens a session. Its errors are Failures: Outage for a server that
// can't be reached, Denied for a refused login, Preflight for a database that
// doesn't exist.
func Connect(ctx context.Context, c *Conn, o Options) (*Session, error) {
	return stream.Patiently(ctx, o.Patience, func() (*Session, error) { return connect(ctx, c, o) })
}

func connect(ctx context.Context, c *Conn, o Options) (*Session, error) {
	cfg, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if o.Notice != nil {
			o.Notice(n)
		}
	}
	var w *conn
	cfg.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, c net.Conn) (net.Conn, error) {
		w = &conn{Conn: c, closed: make(chan struct{})}
		return w, nil
	}
	pc, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, c.explain(err)
	}
	c.note(pc)
	s := &Session{PgConn: pc}
	if err := s.pin(ctx, o, func(pid string) error { return checkPooler(ctx, pc, pid, cfg, c.Name()) }); err != nil {
		_ = pc.Close(context.WithoutCancel(ctx))
		return nil, c.explain(err)
	}
	s.answers = min(c.limit()/4, 15*time.Second)
	go c.watch(w, s.Backend)
	return s, nil
}

// firstTries is how often a session's first query is sent while timeouts end it.
const firstTries = 50

// pin reads what is known before anything is set, has the server's process approved, and sets what is pinned.
func (s *Session) pin(ctx context.Context, o Options, approve func(pid string) error) error {
	// The first answer is read under the role's own settings: it is all ASCII
	// but the search path, which comes in the role's client encoding.
	// A role's timeouts, which may be of a millisecond, must not end even this.
	first := s.untimed() + `SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('server_version'),
		pg_catalog.current_setting('search_path'), pg_catalog.getdatabaseencoding(), pg_catalog.pg_backend_pid(),
		(SELECT ` + backendStart + ` FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())`
	rows, err := s.Rows(ctx, first)
	for tries := 1; Code(err) == "57014" && tries < firstTries && ctx.Err() == nil; tries++ {
		rows, err = s.Rows(ctx, first) // a busy server may take longer than such a timeout even for that
	}
	if err != nil {
		return err
	}
	r := rows[len(rows)-1]
	if s.VersionNum, err = strconv.Atoi(r[0]); err != nil {
		return fmt.Errorf("server_version_num: %w", err)
	}
	s.Version, _, _ = strings.Cut(r[1], " ")
	s.SearchPath, s.Encoding, s.Backend = r[2], r[3], Backend{pid: r[4], start: r[5]}
	if err := approve(r[4]); err != nil {
		return err
	}
	enc := o.Encoding
	if enc == "" {
		enc = s.Encoding
	}
	var q strings.Builder
	fmt.Fprintf(&q, "SET client_encoding = %s;\n", Literal(enc))
	for _, p := range pinned {
		if s.VersionNum >= p.since {
			fmt.Fprintf(&q, "SET %s = %s;\n", p.name, Literal(p.value))
		}
	}
	if o.ReadOnly {
		q.WriteString("SET default_transaction_read_only = on;\n")
	}
	if o.OwnOnly {
		// By the catalogs and not by the version: minor releases brought it, and not all servers are PostgreSQL's own.
		q.WriteString("SELECT pg_catalog.set_config(name, 'view, foreign-table', false) FROM pg_catalog.pg_settings WHERE name = 'restrict_nonsystem_relation_kind';\n")
	}
	return s.Do(ctx, q.String())
}

// untimed is the statement that ends timeouts, as far as the server said at the start which version it is. Where it isn't the process
// that the server announced, a pooler may lend it to others: then they end for this query alone.
func (s *Session) untimed() string {
	version := s.ParameterStatus("server_version")
	n := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		n = len(version)
	}
	major, _ := strconv.Atoi(version[:n])
	var set []string
	for _, p := range pinned {
		if strings.HasSuffix(p.name, "_timeout") && major*10000 >= p.since {
			set = append(set, fmt.Sprintf("pg_catalog.set_config(%s, %s, pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.<>) %d)", Literal(p.name), Literal(p.value), int32(s.PID())))
		}
	}
	return "SELECT " + strings.Join(set, ", ") + ";\n"
}

// Do runs statements, with no rows to return, as one simple query.
func (s *Session) Do(ctx context.Context, sql string) error {
	return s.Exec(ctx, sql).Close()
}

// Rows runs a query and returns all its rows as text; NULL comes as "".
func (s *Session) Rows(ctx context.Context, sql string) ([][]string, error) {
	mrr := s.Exec(ctx, sql)
	var out [][]string
	for mrr.NextResult() {
		rr := mrr.ResultReader()
		for rr.NextRow() {
			row := make([]string, len(rr.Values()))
			for i, v := range rr.Values() {
				row[i] = string(v)
			}
			out = append(out, row)
		}
	}
	return out, mrr.Close()
}

// Row runs a query and returns its first row, nil where it has none.
func (s *Session) Row(ctx context.Context, sql string) ([]string, error) {
	rows, err := s.Rows(ctx, sql)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// End closes the session, and waits for the server to be told where the session broke in the middle of a
// statement: no more than five seconds.
func (s *Session) End() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.Close(ctx)
	select {
	case <-s.CleanupDone():
	case <-ctx.Done():
	}
}

// explain turns a failure to connect into one that says what to do.
func (c *Conn) explain(err error) error {
	if errors.Is(err, ErrPooler) {
		return err
	}
	f := &stream.Failure{Kind: stream.Failed, Object: c.Name(), Msg: "cannot connect", Err: c.scrub(err)}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		f.Err = fmt.Errorf("%s (SQLSTATE %s)", stream.Text(pe.Message).Display(), pe.Code)
		switch {
		case strings.HasPrefix(pe.Code, "28"):
			f.Kind, f.Hint = stream.Denied, "check the user and the password, and the server's pg_hba.conf"
		case pe.Code == "42501" && strings.Contains(pe.Message, "for database"):
			f.Kind, f.Hint = stream.Denied, "grant the role CONNECT on the database"
		case pe.Code == "42501":
			f.Kind, f.Hint = stream.Denied, "the role's or the database's settings name what the role may not use: grant it pg_read_all_data, or USAGE on that schema"
		case pe.Code == "3D000":
			f.Kind, f.Hint = stream.Preflight, "create the database first: pgmove never does"
		case pe.Code == "53300" || Lost(pe): // class 08 is what poolers say whose server is gone
			f.Kind, f.Hint = stream.Outage, "try again when the server takes connections"
		}
		return f
	}
	var ne net.Error
	var oe *net.OpError
	var de *net.DNSError
	switch hint := untrusted(err); {
	case errors.Is(err, context.Canceled):
		return err
	case hint != "":
		f.Kind, f.Hint = stream.Denied, hint
	case errors.As(err, &oe), errors.As(err, &de), errors.As(err, &ne), errors.Is(err, context.DeadlineExceeded), Lost(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		f.Kind, f.Hint = stream.Outage, "check the host, the port and the network between"
	}
	return f
}

// Lost reports whether err means that the session's connection is gone.
func Lost(err error) bool {
	if err == nil {
		return false
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return strings.HasPrefix(pe.Code, "57P") || strings.HasPrefix(pe.Code, "08")
	}
	var ne net.Error
	return errors.As(err, &ne) || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "conn closed") ||
		strings.Contains(err.Error(), "closed network connection")
}

// Code returns the SQLSTATE of err, "" where it has none.
func Code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// Explain turns an error of a statement into a Failure for object: Outage for a lost
// connection, Denied for a missing privilege, else of kind Failed.
func Explain(err error, object string) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if stream.KindOf(err) != stream.Failed {
		return err
	}
	f := &stream.Failure{Kind: stream.Failed, Object: object, Msg: "failed", Err: err}
	var pe *pgconn.PgError
	switch {
	case errors.As(err, &pe):
		f.Msg, f.Err = "the server refused", ServerError(pe)
		if pe.Code == "42501" {
			f.Kind = stream.Denied
		}
		if Lost(pe) {
			f.Kind = stream.Outage
		}
		if pe.Code == "53100" {
			return Full(f)
		}
	case Lost(err):
		f.Kind, f.Msg = stream.Outage, "the connection was lost"
	}
	return f
}

// Full makes f what it is when the server has no room: an outage that only somebody else can end.
func Full(f *stream.Failure) error {
	f.Kind, f.Hint = stream.Outage, "make room on the server's disk, then run again with --resume"
	return stream.Last(f)
}

// ServerError is the server's message in one line, with its detail and context as
// far as they help, printable whatever encoding it came in.
func ServerError(pe *pgconn.PgError) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (SQLSTATE %s)", pe.Severity, stream.Text(pe.Message).Display(), pe.Code)
	if pe.Hint != "" {
		fmt.Fprintf(&b, "; hint: %s", stream.Text(pe.Hint).Display())
	}
	if pe.Where != "" {
		fmt.Fprintf(&b, "; at: %.200s", stream.Text(pe.Where).Display())
	}
	return &serverError{text: b.String(), pe: pe}
}

type serverError struct {
	text string
	pe   *pgconn.PgError
}

func (e *serverError) Error() string { return e.text }
func (e *serverError) Unwrap() error { return e.pe }

// Ident quotes an identifier for SQL.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Qualified quotes namespace.name.
func Qualified(namespace, name string) string { return Ident(namespace) + "." + Ident(name) }

// Literal quotes a string for SQL under standard_conforming_strings; it is also
// right where that is off.
func Literal(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}
