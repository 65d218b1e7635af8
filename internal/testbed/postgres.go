package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PostgresOptions says what kind of PostgreSQL to start; the zero value is the
// distribution's own, set for speed.
type PostgresOptions struct {
	// Major is the major version; 0 is DefaultMajor.
	Major int
	// Settings go into postgresql.conf, over the testbed's own. Values need no
	// quotes.
	Settings map[string]string
	// InitArgs are further arguments to initdb, over the testbed's own: say
	// --locale=C, --encoding=LATIN1, --data-checksums.
	InitArgs []string
}

// settings are what every cluster starts with: no durability, since none outlives
// its tests; logical WAL, so that publications don't warn; and where it listens.
var settings = map[string]string{
	"autovacuum":                 "on",
	"fsync":                      "off",
	"full_page_writes":           "off",
	"jit":                        "off",
	"lc_messages":                "C",
	"listen_addresses":           "127.0.0.1",
	"log_line_prefix":            "%m [%p] %q%u@%d/%a ",
	"logging_collector":          "off",
	"max_connections":            "100",
	"max_wal_size":               "2GB",
	"password_encryption":        "scram-sha-256",
	"shared_buffers":             "64MB",
	"synchronous_commit":         "off",
	"unix_socket_directories":    "",
	"wal_level":                  "logical",
	"timezone":                   "UTC",
	"log_timezone":               "UTC",
	"log_min_duration_statement": "-1",
}

// superuser is the name of every cluster's superuser.
const superuser = "postgres"

// startTimeout bounds a start, stopTimeout a stop that nobody's context bounds.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Postgres is a private PostgreSQL cluster. Its methods may be called from several
// goroutines at once, except Start, Stop, Restart and Close.
type Postgres struct {
	major    int
	bin      string
	dir      string // holds data/, log and lock
	lock     *os.File
	user     *user
	port     int
	password string
	proc     *process // nil while it is stopped
}

// StartPostgres makes a cluster and starts it. Close ends it.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	major := opts.Major
	if major == 0 {
		if major = DefaultMajor(); major == 0 {
			return nil, errors.New("no PostgreSQL server is installed: " + makeTools)
		}
	}
	bin, ok := ServerBin(major)
	if !ok {
		return nil, fmt.Errorf("no server of PostgreSQL %d is installed (there is %s): %s", major, list(Majors()), makeTools)
	}
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, lock, err := newFolder(u)
	if err != nil {
		return nil, err
	}
	p := &Postgres{major: major, bin: bin, dir: dir, lock: lock, user: u, password: secret()}
	if err = p.init(ctx, opts); err == nil {
		err = p.firstStart(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// list writes numbers for people.
func list(majors []int) string {
	if len(majors) == 0 {
		return "none"
	}
	s := make([]string, len(majors))
	for i, m := range majors {
		s[i] = strconv.Itoa(m)
	}
	return strings.Join(s, ", ")
}

// init makes the cluster's data folder and its configuration.
func (p *Postgres) init(ctx context.Context, opts PostgresOptions) error {
	// The password goes through a file, since all users see a process's arguments.
	pwfile := filepath.Join(p.dir, "password")
	if err := os.WriteFile(pwfile, []byte(p.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := p.user.own(pwfile); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + p.data(), "--username=" + superuser, "--pwfile=" + pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
	}
	if p.major < 14 { // --no-instructions is younger
		args = args[:len(args)-1]
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := p.user.command(ctx, p.dir, filepath.Join(p.bin, "initdb"), append(args, opts.InitArgs...)...)
	if out, err := finish(cmd); err != nil {
		return fmt.Errorf("initdb of PostgreSQL %d: %w\n%s", p.major, err, tail(out))
	}
	if err := os.Remove(pwfile); err != nil {
		return err
	}
	return p.configure(opts.Settings)
}

// configure appends the settings to postgresql.conf, in which the last one counts.
func (p *Postgres) configure(own map[string]string) error {
	all := make(map[string]string, len(settings)+len(own))
	for _, m := range []map[string]string{settings, own} {
		for k, v := range m {
			all[strings.ToLower(k)] = v
		}
	}
	names := make([]string, 0, len(all))
	for k := range all {
		names = append(names, k)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("\n# internal/testbed\n")
	for _, k := range names {
		fmt.Fprintf(&b, "%s = '%s'\n", k, strings.NewReplacer(`\`, `\\`, "'", "''", "\n", `\n`).Replace(all[k]))
	}
	f, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(b.String())
	return errors.Join(err, f.Close())
}

// firstStart starts the cluster on a free port; where another process takes it in
// between, on another one.
func (p *Postgres) firstStart(ctx context.Context) error {
	return onFreePort(&p.port, "could not bind", func() error { return p.Start(ctx) })
}

// Start starts the cluster after Stop, on the port it had, and returns when it takes
// connections.
func (p *Postgres) Start(ctx context.Context) error {
	if p.proc != nil && p.proc.alive() == nil {
		return errors.New("the cluster runs already")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it did not start within %v", startTimeout))
	defer cancel()
	for {
		logged := len(p.Log())
		err := p.start(ctx)
		if err == nil {
			return nil
		}
		log := p.Log()[logged:]
		err = fmt.Errorf("start PostgreSQL %d: %w\n%s", p.major, err, tail(log))
		// After a crash the last sessions take a moment to find that they are alone.
		if ctx.Err() != nil || !strings.Contains(log, "pre-existing shared memory block") {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// start runs the server, once, and waits until it takes connections.
func (p *Postgres) start(ctx context.Context) error {
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own handle of it
	// The server outlives ctx, which bounds the start alone.
	cmd := p.user.command(context.WithoutCancel(ctx), p.dir, filepath.Join(p.bin, "postgres"),
		"-D", p.data(), "-p", strconv.Itoa(p.port))
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT lets the postmaster end its children and free what it shares with them.
	if p.proc, err = start(cmd, syscall.SIGQUIT); err != nil {
		return err
	}
	err = until(ctx, p.proc.alive, func() error {
		c, err := p.connect(ctx, "template1")
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
	if err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(err, p.Stop(stop, Immediate))
	}
	return nil
}

// StopMode is how a cluster is stopped.
type StopMode syscall.Signal

// The modes of pg_ctl stop, and the one that nobody plans.
const (
	// Smart waits until all clients have left.
	Smart = StopMode(syscall.SIGTERM)
	// Fast ends all sessions and shuts down in order.
	Fast = StopMode(syscall.SIGINT)
	// Immediate ends all at once; the next start recovers from the WAL.
	Immediate = StopMode(syscall.SIGQUIT)
	// Crash kills the postmaster, as the system does when memory runs out.
	Crash = StopMode(syscall.SIGKILL)
)

// Stop stops the cluster and keeps its data; Start starts it again. When ctx ends
// first, the cluster is killed, and Stop says so.
func (p *Postgres) Stop(ctx context.Context, mode StopMode) error {
	if p.proc == nil {
		return nil
	}
	proc := p.proc
	p.proc = nil
	if err := proc.stop(ctx, syscall.Signal(mode)); err != nil {
		return fmt.Errorf("stop PostgreSQL %d: %w", p.major, err)
	}
	return nil
}

// Restart stops the cluster in the mode and starts it on the same port.
func (p *Postgres) Restart(ctx context.Context, mode StopMode) error {
	if err := p.Stop(ctx, mode); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Close ends the cluster and removes all that is of it.
func (p *Postgres) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := p.Stop(ctx, Immediate)
	return errors.Join(err, os.RemoveAll(p.dir), p.lock.Close())
}

// Major is the cluster's major version.
func (p *Postgres) Major() int { return p.major }

// BinDir is the folder of the server's programs.
func (p *Postgres) BinDir() string { return p.bin }

// Port is the port on 127.0.0.1 that the cluster listens on.
func (p *Postgres) Port() int { return p.port }

// Password is the password of the superuser, who is postgres.
func (p *Postgres) Password() string { return p.password }

// DataDir is the cluster's data folder.
func (p *Postgres) DataDir() string { return p.data() }

// Log is what the server has logged so far.
func (p *Postgres) Log() string { return readLog(p.logFile()) }

// URL is the connection URL of a database for the superuser; it holds the password.
func (p *Postgres) URL(db string) string { return p.URLAs(superuser, p.password, db) }

// URLAs is the connection URL of a database for a user.
func (p *Postgres) URLAs(user, password, db string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), Path: "/" + db, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (p *Postgres) data() string    { return filepath.Join(p.dir, "data") }
func (p *Postgres) logFile() string { return filepath.Join(p.dir, "log") }
