package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// MariaDBOptions says how to start MariaDB; the zero value is set for speed.
type MariaDBOptions struct {
	// Settings are options of mariadbd, over the testbed's own: names as on its command
	// line, without dashes before them. A value of "" makes an option without one.
	Settings map[string]string
}

// mariaSettings are what every server starts with: no durability, since none outlives its
// tests; a binary log, which positions are taken from; and where it listens.
var mariaSettings = map[string]string{
	"bind-address":                   "127.0.0.1",
	"skip-name-resolve":              "",
	"log-bin":                        "binlog",
	"binlog-format":                  "ROW",
	"server-id":                      "1",
	"sync-binlog":                    "0",
	"innodb-flush-log-at-trx-commit": "0",
	"innodb-buffer-pool-size":        "64M",
	"innodb-log-file-size":           "32M",
	"innodb-doublewrite":             "0",
	"key-buffer-size":                "8M",
	"local-infile":                   "1",
	"event-scheduler":                "ON",
	"max-connections":                "100",
	"performance-schema":             "OFF",
	"character-set-server":           "utf8mb4",
	"collation-server":               "utf8mb4_general_ci",
}

// mariaAdmin is the name of the account that may do all.
const mariaAdmin = "testbed"

// mariaFolders are where distributions put the server, which few users' PATH has.
var mariaFolders = []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/libexec"}

// MariaDBProgram returns the path of one of MariaDB's programs, server or client, and whether it is installed.
func MariaDBProgram(name string) (string, bool) {
	if p, err := exec.LookPath(name); err == nil {
		return p, true
	}
	for _, dir := range mariaFolders {
		if p := filepath.Join(dir, name); isFile(p) {
			return p, true
		}
	}
	return "", false
}

// MariaDB is a private MariaDB server. Its methods may be called from several
// goroutines at once, except Start, Stop and Close.
type MariaDB struct {
	program  string
	args     []string
	dir      string // holds data/, init.sql, log and lock
	lock     *os.File
	user     *user
	port     int
	password string
	proc     *process // nil while it is stopped
}

// StartMariaDB makes a data folder and starts a server on it. Close ends it.
func StartMariaDB(ctx context.Context, opts MariaDBOptions) (*MariaDB, error) {
	program, ok := MariaDBProgram("mariadbd")
	install, ok2 := MariaDBProgram("mariadb-install-db")
	if !ok || !ok2 {
		return nil, errors.New("no MariaDB server is installed: " + makeTools)
	}
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, lock, err := newFolder(u)
	if err != nil {
		return nil, err
	}
	m := &MariaDB{program: program, dir: dir, lock: lock, user: u, password: secret()}
	if err = m.init(ctx, install, opts); err == nil {
		err = m.firstStart(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// init makes the data folder, the arguments, and the file that makes the account.
func (m *MariaDB) init(ctx context.Context, install string, opts MariaDBOptions) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	args := []string{"--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--datadir=" + m.data()}
	if size := opts.Settings["innodb-page-size"]; size != "" {
		args = append(args, "--innodb-page-size="+size) // the data folder's for good
	}
	cmd := m.user.command(ctx, m.dir, install, args...)
	if out, err := finish(cmd); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, tail(out))
	}
	// A statement a line. The password goes through a file, since all users see a process's arguments.
	account := fmt.Sprintf("'%s'@'%%'", mariaAdmin)
	sql := "SET autocommit = 1, sql_safe_updates = 0, sql_mode = '', max_statement_time = 0, sql_log_bin = 0;\n" +
		"DELETE FROM mysql.global_priv WHERE User IN ('root', '');\nFLUSH PRIVILEGES;\n" +
		fmt.Sprintf("CREATE OR REPLACE USER %s IDENTIFIED BY '%s';\n", account, m.password) +
		fmt.Sprintf("GRANT ALL ON *.* TO %s WITH GRANT OPTION;\n", account)
	if err := os.WriteFile(m.initFile(), []byte(sql), 0o600); err != nil {
		return err
	}
	if err := m.user.own(m.initFile()); err != nil {
		return err
	}
	m.args = []string{"--no-defaults", "--datadir=" + m.data(), "--socket=" + filepath.Join(m.dir, "socket"),
		"--pid-file=" + filepath.Join(m.dir, "pid"), "--init-file=" + m.initFile()}
	all := make(map[string]string, len(mariaSettings)+len(opts.Settings))
	for _, settings := range []map[string]string{mariaSettings, opts.Settings} {
		for k, v := range settings {
			all[strings.ReplaceAll(k, "_", "-")] = v
		}
	}
	var more []string
	for k, v := range all {
		if v != "" {
			v = "=" + v
		}
		more = append(more, "--"+k+v)
	}
	slices.Sort(more)
	m.args = append(m.args, more...)
	return nil
}

// firstStart starts the server on a free port; where another process takes it in
// between, on another one.
func (m *MariaDB) firstStart(ctx context.Context) error {
	return onFreePort(&m.port, "Address already in use", func() error { return m.Start(ctx) })
}

// Start starts the server after Stop, on the port it had, and returns when it takes
// connections.
func (m *MariaDB) Start(ctx context.Context) error {
	if m.proc != nil && m.proc.alive() == nil {
		return errors.New("the server runs already")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it did not start within %v", startTimeout))
	defer cancel()
	log, err := os.OpenFile(m.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own handle of it
	logged := len(m.Log())
	cmd := m.user.command(context.WithoutCancel(ctx), m.dir, m.program, append(slices.Clone(m.args), "--port="+strconv.Itoa(m.port))...)
	cmd.Stdout, cmd.Stderr = log, log
	if m.proc, err = start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	err = until(ctx, m.proc.alive, func() error { return m.Exec(ctx, "", "DO 1") })
	if err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("start MariaDB: %w\n%s", err, tail(m.Log()[logged:])), m.Stop(stop, true))
	}
	return nil
}

// Stop stops the server and keeps its data; Start starts it again. crash kills it, as the
// system does when memory runs out; else it shuts down in order.
func (m *MariaDB) Stop(ctx context.Context, crash bool) error {
	if m.proc == nil {
		return nil
	}
	proc := m.proc
	m.proc = nil
	sig := syscall.SIGTERM
	if crash {
		sig = syscall.SIGKILL
	}
	if err := proc.stop(ctx, sig); err != nil {
		return fmt.Errorf("stop MariaDB: %w", err)
	}
	return nil
}

// Close ends the server and removes all that is of it.
func (m *MariaDB) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := m.Stop(ctx, true)
	return errors.Join(err, os.RemoveAll(m.dir), m.lock.Close())
}

// Port is the port on 127.0.0.1 that the server listens on.
func (m *MariaDB) Port() int { return m.port }

// User and Password are the account that may do all.
func (m *MariaDB) User() string { return mariaAdmin }

// Password is the account's password.
func (m *MariaDB) Password() string { return m.password }

// Log is what the server has logged so far.
func (m *MariaDB) Log() string { return readLog(m.logFile()) }

// URL is the connection URL of a database for the account that may do all; it holds the password.
func (m *MariaDB) URL(db string) string { return m.URLAs(mariaAdmin, m.password, db) }

// URLAs is the connection URL of a database for a user.
func (m *MariaDB) URLAs(user, password, db string) string {
	u := url.URL{Scheme: "mysql", User: url.UserPassword(user, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)), Path: "/" + db, RawQuery: "tls=disabled"}
	return u.String()
}

func (m *MariaDB) data() string     { return filepath.Join(m.dir, "data") }
func (m *MariaDB) logFile() string  { return filepath.Join(m.dir, "log") }
func (m *MariaDB) initFile() string { return filepath.Join(m.dir, "init.sql") }
